package links

import (
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/datamodel"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
)

// linkCollector takes what a decoder of go-ipld-prime reads, and keeps the links alone: a node of
// small numbers would take some fifty times as much memory as its block. It is a
// [datamodel.NodeAssembler], and the assembler of all lists and maps in it.
type linkCollector struct{ cids []cid.Cid }

var (
	_ datamodel.NodeAssembler = (*linkCollector)(nil)
	_ datamodel.MapAssembler  = (*linkCollector)(nil)
	_ datamodel.ListAssembler = listCollector{}
)

// AssignLink implements [datamodel.NodeAssembler].
func (c *linkCollector) AssignLink(l datamodel.Link) error {
	c.cids = append(c.cids, l.(cidlink.Link).Cid)
	return nil
}

func (c *linkCollector) BeginMap(int64) (datamodel.MapAssembler, error) { return c, nil }
func (c *linkCollector) BeginList(int64) (datamodel.ListAssembler, error) {
	return listCollector{c}, nil
}
func (*linkCollector) AssignNull() error                  { return nil }
func (*linkCollector) AssignBool(bool) error              { return nil }
func (*linkCollector) AssignInt(int64) error              { return nil }
func (*linkCollector) AssignFloat(float64) error          { return nil }
func (*linkCollector) AssignString(string) error          { return nil }
func (*linkCollector) AssignBytes([]byte) error           { return nil }
func (*linkCollector) AssignNode(datamodel.Node) error    { return nil }
func (*linkCollector) Prototype() datamodel.NodePrototype { return basicnode.Prototype.Any }

func (c *linkCollector) AssembleKey() datamodel.NodeAssembler   { return c }
func (c *linkCollector) AssembleValue() datamodel.NodeAssembler { return c }
func (c *linkCollector) AssembleEntry(string) (datamodel.NodeAssembler, error) {
	return c, nil
}
func (*linkCollector) Finish() error                                 { return nil }
func (*linkCollector) KeyPrototype() datamodel.NodePrototype         { return basicnode.Prototype.String }
func (*linkCollector) ValuePrototype(string) datamodel.NodePrototype { return basicnode.Prototype.Any }

// listCollector is that for lists, whose ValuePrototype has another form.
type listCollector struct{ *linkCollector }

func (listCollector) ValuePrototype(int64) datamodel.NodePrototype { return basicnode.Prototype.Any }
