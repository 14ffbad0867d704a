package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// checkInvariants works out every list, row, holder and attempt anew from the
// requests' records, and compares that with what is stored.
func checkInvariants(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // cleanups come here too
	must(t, s.kv.View(ctx, func(r *kv.Reader) error {
		c := &checker{s: s, r: r, want: map[string]string{}, dags: map[pin.DAG]*holding.DAGRecord{}, pinned: map[pinnedBy]uint64{}, live: map[kv.Account]map[pin.DAG]bool{}}
		if err := c.requests(); err != nil {
			return err
		}
		for _, kind := range []byte{requests.KRow, requests.KStatus, requests.KByDAG, requests.KByName} {
			if err := c.compare(kind); err != nil {
				return err
			}
		}
		if err := c.charges(); err != nil {
			return err
		}
		if err := c.counts(); err != nil {
			return err
		}
		return c.attempts()
	}))
}

// charges works out anew what accounts are charged.
func (c *checker) charges() error {
	stored, err := c.all(requests.KCharge)
	if err != nil {
		return err
	}
	sums := map[kv.Account]*requests.UsageRecord{}
	for key, value := range stored {
		var rec requests.ChargeRecord
		if err := c.s.codec.Decode([]byte(value), &rec); err != nil {
			return err
		}
		var a kv.Account
		copy(a[:], key[1:])
		d := pin.DAG(key[1+len(a)+2:])
		var dag holding.DAGRecord
		if _, err := c.s.kv.Take(c.r, holding.DAGKey(d), &dag); err != nil {
			return err
		}
		if n := c.pinned[pinnedBy{a, d}]; rec.Pinned != n || dag.Complete && (rec.Blocks != dag.Blocks || rec.Bytes != dag.Bytes) {
			return fmt.Errorf("%s is charged %+v for %s, of which it has %d pinned: %+v", a, rec, d, n, dag)
		}
		if sums[a] == nil {
			sums[a] = &requests.UsageRecord{}
		}
		sums[a].DAGs++
		sums[a].Blocks += rec.Blocks
		sums[a].Bytes += rec.Bytes
	}
	if len(stored) != len(c.pinned) {
		return fmt.Errorf("%d charges, want %d", len(stored), len(c.pinned))
	}
	usage, err := c.all(requests.KUsage)
	if err != nil {
		return err
	}
	for a, want := range sums {
		value, err := c.s.codec.Encode(*want)
		if err != nil {
			return err
		}
		if usage[string(requests.UsageKey(a))] != string(value) {
			return fmt.Errorf("usage of %s is %x, want %+v", a, usage[string(requests.UsageKey(a))], want)
		}
	}
	if len(usage) != len(sums) {
		return fmt.Errorf("usage of %d accounts, want %d", len(usage), len(sums))
	}
	return nil
}

// counts compares how many DAGs each account has live requests for with its record.
func (c *checker) counts() error {
	stored, err := c.all(requests.KAccount)
	if err != nil {
		return err
	}
	for key, value := range stored {
		var rec requests.AccountRecord
		if err := c.s.codec.Decode([]byte(value), &rec); err != nil {
			return err
		}
		a := kv.Account([]byte(key[1:]))
		if n := uint64(len(c.live[a])); rec.Live != n {
			return fmt.Errorf("%s has live requests for %d DAGs by its record, and for %d in truth", a, rec.Live, n)
		}
		delete(c.live, a)
	}
	if len(c.live) > 0 {
		return fmt.Errorf("accounts without records have live requests: %v", c.live)
	}
	return nil
}

// pinnedBy is an account and a DAG of which it has requests that are pinned.
type pinnedBy struct {
	account kv.Account
	dag     pin.DAG
}

type checker struct {
	s      *Store
	r      *kv.Reader
	want   map[string]string // keys that follow from the requests
	dags   map[pin.DAG]*holding.DAGRecord
	pinned map[pinnedBy]uint64
	live   map[kv.Account]map[pin.DAG]bool // what its requests that are not failed are for
}

// requests reads every request and notes what follows from it.
func (c *checker) requests() error {
	chunks := map[string]*requests.Chunk{}
	err := c.r.Scan(kv.Span{Prefix: []byte{requests.KRequest}}, func(key, value []byte) (bool, error) {
		req := requests.Request{}
		copy(req.Account[:], key[1:])
		if err := c.s.codec.Decode(value, &req.RequestRecord); err != nil {
			return false, err
		}
		if string(requests.RequestKey(req.Account, req.Created)) != string(key) {
			return false, fmt.Errorf("request %x is under key %x", req.ID, key)
		}
		var err error
		if req.Status, err = requests.StatusOf(c.r, req.Account, req.Seq); err != nil {
			return false, err
		}
		if req.Status == requests.CodePinned {
			c.pinned[pinnedBy{req.Account, req.DAG()}]++
		}
		if req.Status != requests.CodeFailed {
			if c.live[req.Account] == nil {
				c.live[req.Account] = map[pin.DAG]bool{}
			}
			c.live[req.Account][req.DAG()] = true
		}
		c.want[string(requests.RowKey(req.Account, req.Seq))] = string(requests.EncodeRow(&req.RequestRecord))
		lists := [][]byte{requests.StatusList(req.Status, req.Account), requests.DAGList(req.DAG(), req.Account)}
		if req.Name != "" {
			lists = append(lists, requests.NameList(req.Account, requests.NameHash(req.Name)))
		}
		for _, l := range lists {
			number, bit := requests.Place(req.Seq)
			k := string(requests.ChunkKey(l, number))
			if chunks[k] == nil {
				chunks[k] = new(requests.Chunk)
			}
			if chunks[k].Has(bit) {
				return false, fmt.Errorf("SEQ %d of %s twice", req.Seq, req.Account)
			}
			chunks[k].Add(bit)
		}
		h, err := c.s.requestRecords.TookOver(c.r, req.Account, req.Seq)
		held := h.All()
		if h.Pinned != "" {
			c.pinned[pinnedBy{req.Account, h.Pinned}]++
		}
		if req.Status != requests.CodeFailed {
			held = append(held, req.DAG())
		}
		for _, d := range held {
			if c.dags[d] == nil {
				c.dags[d] = &holding.DAGRecord{}
			}
			c.dags[d].Holders++
		}
		return true, err
	})
	for k, ch := range chunks {
		c.want[k] = string(ch.Encode())
	}
	return err
}

// compare looks whether the keys of a kind are those that follow.
func (c *checker) compare(kind byte) error {
	want := map[string]string{}
	for k, v := range c.want {
		if k[0] == kind {
			want[k] = v
		}
	}
	got, err := c.all(kind)
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("keys of kind %x are %x, want %x", kind, got, want)
	}
	return err
}

func (c *checker) all(kind byte) (map[string]string, error) {
	got := map[string]string{}
	err := c.r.Scan(kv.Span{Prefix: []byte{kind}}, func(key, value []byte) (bool, error) {
		got[string(key)] = string(value)
		return true, nil
	})
	return got, err
}

// attempts compares the DAGs' holders, and the attempts in use.
func (c *checker) attempts() error {
	stored, err := c.all(holding.KDAG)
	if err != nil {
		return err
	}
	inUse := map[string]string{}
	for d, want := range c.dags {
		var rec holding.DAGRecord
		if err := c.s.codec.Decode([]byte(stored[string(holding.DAGKey(d))]), &rec); err != nil {
			return fmt.Errorf("DAG %s: %w", d, err)
		}
		if rec.Holders != want.Holders {
			return fmt.Errorf("DAG %s has %d holders, want %d", d, rec.Holders, want.Holders)
		}
		if rec.Attempt != 0 {
			inUse[string(holding.AttemptKey(rec.Attempt))] = string(d)
		} else if rec.Complete {
			return fmt.Errorf("DAG %s is complete without an attempt", d)
		}
	}
	if len(stored) != len(c.dags) {
		return fmt.Errorf("%d DAGs have records, want %d", len(stored), len(c.dags))
	}
	attempts, err := c.all(holding.KAttempt)
	if err != nil {
		return err
	}
	if !maps.Equal(attempts, inUse) {
		return fmt.Errorf("attempts %x, want %x", attempts, inUse)
	}
	deleting, err := c.all(holding.KReleased)
	for k := range deleting {
		if a := binary.BigEndian.Uint64([]byte(k[1:])); inUse[string(holding.AttemptKey(pin.Attempt(a)))] != "" {
			return fmt.Errorf("attempt %d is in use and deleting", a)
		}
	}
	return err
}

const killChild = "HOLDFAST_TEST_KILL_CHILD"

// TestKilled kills a process with SIGKILL while it changes records, and looks
// whether all that it was told is there is there.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killChild); dir != "" {
		changeForever(t, dir)
		return
	}
	dir := t.TempDir()
	there := map[string]bool{} // requests by ID: added, or gone
	for round := range 4 {
		var seen strings.Builder
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), killChild+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		scanner := bufio.NewScanner(out)
		for n := 0; n < 300+97*round && scanner.Scan(); n++ {
			note(there, scanner.Text(), &seen)
		}
		must(t, cmd.Process.Kill())
		for scanner.Scan() {
			note(there, scanner.Text(), &seen)
		}
		if err := cmd.Wait(); err == nil || strings.Contains(seen.String(), "FAIL") {
			t.Fatalf("the child was not killed: %v\n%s", err, seen.String())
		}
		lock, err := Lock(dir)
		must(t, err)
		s, err := Open(t.Context(), lock, Config{})
		must(t, err)
		checkInvariants(t, s)
		for id, want := range there {
			if _, err := s.requestRecords.Get(t.Context(), benchAccount, id); (err == nil) != want {
				t.Errorf("round %d: request %s is there: %v, want %v", round, id, err, want)
			}
		}
		must(t, s.Close())
		must(t, lock.Close())
	}
	if len(there) < 500 {
		t.Errorf("only %d requests were made", len(there))
	}
}

// note keeps what a line of the child says: "+ID" was added, "-ID" is about to
// go, "=ID" is gone.
func note(there map[string]bool, line string, seen *strings.Builder) {
	fmt.Fprintln(seen, line)
	if len(line) != 37 {
		return
	}
	switch id := line[1:]; line[0] {
	case '+':
		there[id] = true
	case '-':
		delete(there, id) // it may be there or not
	case '=':
		there[id] = false
	}
}

func changeForever(t *testing.T, dir string) {
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, Config{})
	must(t, err)
	var mu sync.Mutex
	say := func(what, id string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, "%s%s\n", what, id)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				if err := changeOnce(t, s, w*1000+i%20, say); err != nil {
					fmt.Fprintf(os.Stdout, "FAIL %v\n", err)
					return
				}
			}
		}()
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // ends at once
		t.Error(err)
	}
	select {} // until killed
}

func changeOnce(t *testing.T, s *Store, n int, say func(what, id string)) error {
	ctx := t.Context()
	spec := pintest.DAGSpec(n)
	spec.Name = fmt.Sprint(n % 3)
	r, err := s.requestRecords.Add(ctx, benchAccount, spec)
	if err != nil {
		return err
	}
	say("+", r.ID)
	a, complete, err := s.requestRecords.Begin(ctx, r.DAG())
	if err != nil {
		return err
	}
	if !complete && n%3 == 0 {
		if _, err := s.requestRecords.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 1}); err != nil {
			return err
		}
	}
	if n%2 == 0 {
		return nil
	}
	say("-", r.ID)
	if n%4 == 1 {
		next, _, _, err := s.requestRecords.Replace(ctx, benchAccount, r.ID, pintest.DAGSpec(n+1))
		if err != nil {
			return err
		}
		say("+", next.ID)
	} else if _, released, err := s.requestRecords.Remove(ctx, benchAccount, r.ID); err != nil {
		return err
	} else if len(released) > 0 {
		if err := s.held.Drop(ctx, released[0]); err != nil {
			return err
		}
	}
	say("=", r.ID)
	return nil
}
