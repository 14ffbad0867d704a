package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// localBlockPut puts blocks as they are. What is not to be pinned is kept for some time, so that a
// pin that comes finds it. It answers when all of the body is here: a client may write all of its
// request before it reads anything, as ipfs-cluster does over a Unix socket.
func localBlockPut(q *call) (err error) {
	prefix, err := q.blockPrefix()
	if err != nil {
		return err
	}
	top, err := q.files("data")
	if err != nil {
		return err
	}
	// To the end, also of one that is refused: else the client may not come to read why. What
	// takes the body apart is not done with it before that, either.
	defer func() { _, _ = io.Copy(io.Discard, q.out.c.Request().Body) }()
	held := heldLines{dir: q.local.cfg.TempDir, room: q.local.cfg.TempRoom}
	defer func() { err = errors.Join(err, held.close()) }()
	err = q.upload(func(u Upload) error {
		some := false
		for entries := top.Entries(); ; some = true {
			if !entries.Next() {
				if err := entries.Err(); err != nil {
					return &upload.ReadError{Err: err}
				}
				if !some {
					return refuse("file argument 'data' is required")
				}
				return u.(LooseUpload).Keep(q.ctx)
			}
			f, ok := entries.Node().(files.File)
			if !ok {
				return refuse("expected a regular file")
			}
			if err := q.putLoose(u, prefix, f, &held); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, q.out.c.Request().Body); err != nil {
		return sent(&upload.ReadError{Err: err})
	}
	if err := held.copy(q.out); err != nil {
		return err
	}
	q.out.end()
	return nil
}

// putLoose puts one block. All of a call have the codec of its query, so that codec says nothing
// about a block that is not pinned: ipfs-cluster names the one of the first. It is put as bytes.
func (q *call) putLoose(u Upload, prefix cid.Prefix, f io.Reader, to *heldLines) error {
	data, err := q.readBlock(f)
	if err != nil {
		return badBlock(err)
	}
	if len(data) > upload.SoftBlockLimit && !q.values.is("allow-big-block", false) {
		return refuse("%s", upload.BigBlock)
	}
	c, err := prefix.Sum(data)
	if err != nil {
		return badBlock(err)
	}
	pinned, as := q.values.is("pin", false), c
	if !pinned {
		as = cid.NewCidV1(cid.Raw, c.Hash())
	}
	if err := canPin(as); err != nil {
		return err
	}
	if err := u.Put(q.ctx, as, data); err != nil {
		return err
	}
	if pinned {
		if err := u.Flush(q.ctx); err != nil {
			return err
		}
		if err := q.pinRoot(u, c, "", false); err != nil {
			return err
		}
	}
	return to.add(putBlock{q.cids.Encode(c), len(data)})
}

// heldInMemory is how much of an answer is in memory until it is sent. The rest is in a file: the
// upload of a terabyte has many GiB of answers.
const heldInMemory = 1 << 20

// heldLines are objects, each on a line, that are sent later. close ends them.
type heldLines struct {
	dir  string
	room tempfile.Room
	mem  bytes.Buffer
	file *tempfile.File // what came before mem; nil is nothing
}

func (h *heldLines) add(v any) error {
	if err := json.NewEncoder(&h.mem).Encode(v); err != nil {
		return err
	}
	if h.mem.Len() < heldInMemory {
		return nil
	}
	if h.file == nil {
		f, err := tempfile.Create(h.dir, "answer-*", h.room)
		if err != nil {
			return err
		}
		h.file = f
	}
	_, err := h.mem.WriteTo(h.file)
	return err
}

// copy sends them.
func (h *heldLines) copy(out *writer) error {
	out.beginLines()
	if h.file != nil {
		if _, err := h.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(onlyWriter{out}, onlyReader{h.file}, make([]byte, buffer)); err != nil {
			return err
		}
	}
	_, err := out.Write(h.mem.Bytes())
	return err
}

// onlyWriter hides what else a writer can.
type onlyWriter struct{ io.Writer }

func (h *heldLines) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}
