package rpc

const typeBlock = "application/vnd.ipld.raw"

// blockGet sends a block.
func blockGet(q *call) error {
	f, err := q.findBlock(q.args[0])
	if err != nil {
		return err
	}
	b, err := q.block(q.ctx, f.cid)
	if err != nil {
		return err
	}
	if err := q.share.Need(q.ctx, int64(len(b.RawData()))); err != nil {
		return err
	}
	out := q.out.raw(typeBlock, -1)
	if _, err := out.Write(b.RawData()); err != nil {
		return err
	}
	out.end()
	return nil
}

// blockStat tells the size of a block, in bytes.
func blockStat(q *call) error {
	f, err := q.findBlock(q.args[0])
	if err != nil {
		return err
	}
	b, err := q.block(q.ctx, f.cid)
	if err != nil {
		return err
	}
	return q.out.one(struct {
		Key  string
		Size int
	}{q.cids.Encode(f.cid), len(b.RawData())})
}
