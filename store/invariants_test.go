package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

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
		roomtest.CheckInvariants(t, s.kv)
		for id, want := range there {
			if _, err := s.requestRecords.Get(t.Context(), roomtest.Account, id); (err == nil) != want {
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
	r, err := s.requestRecords.Add(ctx, roomtest.Account, spec)
	if err != nil {
		return err
	}
	say("+", r.ID)
	a, complete, err := s.requestRecords.Begin(ctx, r.DAG())
	if err != nil {
		return err
	}
	if !complete && n%3 == 0 {
		if _, _, err := s.requestRecords.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 1}); err != nil {
			return err
		}
	}
	if n%2 == 0 {
		return nil
	}
	say("-", r.ID)
	if n%4 == 1 {
		next, _, _, err := s.requestRecords.Replace(ctx, roomtest.Account, r.ID, pintest.DAGSpec(n+1))
		if err != nil {
			return err
		}
		say("+", next.ID)
	} else if _, released, err := s.requestRecords.Remove(ctx, roomtest.Account, r.ID); err != nil {
		return err
	} else if len(released) > 0 {
		if err := s.held.Drop(ctx, released[0]); err != nil {
			return err
		}
	}
	say("=", r.ID)
	return nil
}
