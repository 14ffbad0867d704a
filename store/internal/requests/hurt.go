package requests

import (
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// HurtDAG is a DAG that a damaged block is part of.
type HurtDAG struct {
	DAG pin.DAG
	// Complete reports whether the DAG was complete, by its record or by a pinned request.
	// The blocks of any other are hashed again anyway.
	Complete bool
	// Requests is up to maxHurt of the requests that hold it.
	Requests []pin.Request
	More     uint64 // how many more requests hold it
}

// HoldersOf reads the requests for a DAG that have not failed.
func (s *Store) HoldersOf(r *kv.Reader, hurt *HurtDAG) error {
	chunks, err := chunksFor(r, hurt.DAG)
	if err != nil {
		return err
	}
	for _, of := range chunks {
		for _, code := range []statusCode{codeQueued, codePinning, codePinned} {
			which, err := requestsOf(r, hurt.DAG, of, code)
			if err != nil {
				return err
			}
			// After a repair that was cut off, the record does not say so any more.
			hurt.Complete = hurt.Complete || code == codePinned && !which.empty()
			for bit := range which.up {
				if len(hurt.Requests) == maxHurt {
					hurt.More++
					continue
				}
				req, found, err := s.load(r, of.account, seqAt(of.number, bit), code)
				if err != nil {
					return err
				}
				if found {
					hurt.Requests = append(hurt.Requests, req)
				}
			}
		}
	}
	return nil
}

// maxHurt is how many requests are named for each damaged DAG.
const maxHurt = 100
