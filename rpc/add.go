package rpc

import (
	"bytes"
	"context"
	"math"
	"os"
	gopath "path"
	"strconv"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/upload"
)

// unpinned is why nothing can be put without a pin.
const unpinned = "an account keeps what it has pinned, and nothing else"

// announced is why an announcement cannot be left out or waited for.
const announced = "what is pinned is announced soon, by itself"

// ofAdd are the parameters of add.
var ofAdd = append(
	// These are about which files the client sends, and what it shows.
	shown([]string{"recursive", "r"}, []string{"dereference-args"}, []string{"dereference-symlinks"}, []string{"hidden", "H"},
		[]string{"quiet", "q"}, []string{"quieter", "Q"}),
	param{names: []string{"ignore"}, kind: word, many: true},
	takes(word, "ignore-rules-path"),
	takes(word, "stdin-name"),

	takes(boolean, "silent"),
	takes(boolean, progressBar...),
	takes(boolean, "only-hash", "n"),
	takes(boolean, "wrap-with-directory", "w"),
	takes(boolean, "pin"),
	takes(word, "pin-name"),
	takes(integer, "cid-version"),
	takes(word, "hash"),
	takes(boolean, "raw-leaves"),
	takes(word, "chunker", "s"),
	takes(boolean, "trickle", "t"),
	takes(integer, "max-file-links"),
	takes(integer, "max-directory-links"),
	takes(integer, "max-hamt-fanout"),
	takes(boolean, "inline"),
	takes(integer, "inline-limit"),
	takes(boolean, "preserve-mode"),
	takes(boolean, "preserve-mtime"),
	takes(integer, "mode"),
	takes(integer, "mtime"),
	takes(integer, "mtime-nsecs"),
	takes(boolean, "empty-dirs", "E"),
	param{names: []string{"fast-provide-root"}, kind: boolean, only: "true", why: announced},
	param{names: []string{"fast-provide-dag"}, kind: boolean, only: "false", why: "the roots of pins are announced"},
	param{names: []string{"fast-provide-wait"}, kind: boolean, only: "false", why: announced},
	param{names: []string{"nocopy"}, kind: boolean, only: "false", why: "the server does not have the client's files"},
	param{names: []string{"fscache"}, kind: boolean, only: "false", why: "there is no filestore"},
	param{names: []string{"to-files"}, kind: word, only: "false", why: "there is no MFS: what is added is pinned, and has a name by pin-name"},
)

// addEvent is Kubo's.
type addEvent struct {
	Name       string
	Hash       string `json:",omitempty"`
	Bytes      int64  `json:",omitempty"`
	Size       string `json:",omitempty"`
	Mode       string `json:",omitempty"`
	Mtime      int64  `json:",omitempty"`
	MtimeNsecs int    `json:",omitempty"`
}

// add makes UnixFS of files and directories, and pins each that is at the top.
func add(q *call) error {
	o, err := q.addOptions()
	if err != nil {
		return err
	}
	name, named, err := q.pinName()
	if err != nil {
		return err
	}
	onlyHash := q.values.is("only-hash", false)
	switch {
	case !onlyHash && !q.values.is("pin", true):
		return refuse("parameter \"pin\" is supported as \"true\" only: %s", unpinned)
	case named && (onlyHash || !q.values.is("pin", true)):
		return refuse("pin-name option requires pin to be set")
	}
	top, err := q.files("path")
	if err != nil {
		return err
	}
	if q.values.is("wrap-with-directory", false) {
		top = files.NewSliceDirectory([]files.DirEntry{files.FileEntry("", top)})
	}
	if onlyHash {
		leave, err := q.place()
		if err != nil {
			return err
		}
		defer leave()
		return sent(q.addAll(top, o, newHashed(), func(cid.Cid) error { return nil }))
	}
	return q.upload(func(u Upload) error {
		return q.addAll(top, o, u, func(root cid.Cid) error { return q.pinUploaded(u, root, name, named) })
	})
}

// addOptions reads the parameters that change the CID.
func (q *call) addOptions() (upload.Options, error) {
	v := q.values
	f := upload.Flags{
		Hash: v["hash"], Chunker: v["chunker"], Trickle: v.is("trickle", false), Inline: v.is("inline", false),
		PreserveMode: v.is("preserve-mode", false), PreserveMtime: v.is("preserve-mtime", false),
		SkipEmptyDirs: !v.is("empty-dirs", true),
		Mode:          os.FileMode(v.number("mode", 0)),
	}
	for name, to := range map[string]*int{
		"max-file-links": &f.MaxFileLinks, "max-directory-links": &f.MaxDirectoryLinks,
		"max-hamt-fanout": &f.MaxHAMTFanout, "inline-limit": &f.InlineLimit,
	} {
		*to = int(v.number(name, 0))
	}
	if _, given := v["cid-version"]; given {
		f.CIDVersion = new(int(v.number("cid-version", 0)))
	}
	if _, given := v["raw-leaves"]; given {
		f.RawLeaves = new(v.is("raw-leaves", false))
	}
	if mode := v.number("mode", 0); mode < 0 || mode > math.MaxUint32 {
		return upload.Options{}, refuse("parameter \"mode\" is from 0 to 0%o", uint32(math.MaxUint32))
	}
	secs, nsecs := v.number("mtime", 0), v.number("mtime-nsecs", 0)
	switch {
	case nsecs < 0 || nsecs >= int64(time.Second):
		return upload.Options{}, refuse("parameter \"mtime-nsecs\" is from 0 to 999999999")
	case secs != 0:
		f.Mtime = time.Unix(secs, nsecs)
	case nsecs != 0:
		return upload.Options{}, refuse("option \"mtime-nsecs\" requires \"mtime\" to be provided as well")
	}
	o, err := f.Resolve(q.Profile)
	return o, sent(err)
}

// addAll adds what is at the top, one after the other. keep is called with each root.
func (q *call) addAll(top files.Directory, o upload.Options, s upload.Sink, keep func(root cid.Cid) error) error {
	added := 0
	entries := top.Entries()
	for entries.Next() {
		if err := q.addOne(entries.Name(), entries.Node(), o, s, keep); err != nil {
			return err
		}
		added++
	}
	if err := entries.Err(); err != nil {
		return &upload.ReadError{Err: err}
	}
	if added == 0 {
		return refuse("expected a file argument")
	}
	q.out.end()
	return nil
}

// addOne adds one file or directory, and tells of it.
func (q *call) addOne(name string, f files.Node, o upload.Options, s upload.Sink, keep func(root cid.Cid) error) error {
	if err := upload.CheckName(name); err != nil {
		return err
	}
	_, isDir := f.(files.Directory)
	event := func(of string) addEvent {
		e := addEvent{Name: gopath.Join(name, of)}
		if !isDir && name != "" {
			e.Name = name
		}
		if m := f.Mode(); m != 0 {
			e.Mode = "0" + strconv.FormatUint(uint64(m), 8)
		}
		if t := f.ModTime(); !t.IsZero() && t.Unix() > 0 {
			e.Mtime, e.MtimeNsecs = t.Unix(), t.Nanosecond()
		}
		return e
	}
	var root *addEvent // which is told of when it is pinned: many clients do not look any further
	events := upload.Events{Added: func(a upload.Entry) error {
		if q.values.is("silent", false) && !a.Directory {
			return nil
		}
		e := event(a.Name)
		e.Hash, e.Size = q.cids.Encode(a.CID), strconv.FormatUint(a.Size, 10)
		if !isDir || a.Name == "" {
			root = &e
			return nil
		}
		return q.out.emit(e)
	}}
	if q.values.is("progress", false) {
		events.Read = func(of string, n int64) error {
			e := event(of)
			e.Bytes = n
			return q.out.emit(e)
		}
	}
	c, err := upload.NewAdder(s, o, events).Add(q.ctx, f)
	if err != nil {
		return err
	}
	if err := keep(c); err != nil {
		return err
	}
	if root == nil {
		return nil
	}
	return q.out.emit(root)
}

// hashed is a sink that keeps nothing but what directories are made of, and of that no more
// than maxHashed.
type hashed struct {
	nodes map[cid.Cid][]byte
	order []cid.Cid
	bytes int
}

const maxHashed = 16 << 20

func newHashed() *hashed { return &hashed{nodes: make(map[cid.Cid][]byte)} }

// Put implements [upload.Sink].
func (h *hashed) Put(_ context.Context, c cid.Cid, data []byte) error {
	if _, has := h.nodes[c]; has || c.Type() != cid.DagProtobuf {
		return nil
	}
	h.nodes[c], h.order = bytes.Clone(data), append(h.order, c)
	for h.bytes += len(data); h.bytes > maxHashed; h.order = h.order[1:] {
		h.bytes -= len(h.nodes[h.order[0]])
		delete(h.nodes, h.order[0])
	}
	return nil
}

// Get implements [upload.Sink].
func (h *hashed) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	if data, has := h.nodes[c]; has {
		return data, nil
	}
	return nil, &upload.InvalidError{Reason: "a directory has too many entries to be hashed alone: add it without only-hash"}
}
