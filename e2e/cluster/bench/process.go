package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// writtenBy is how many bytes a process has made the system write to disks since it began. It needs
// Linux.
func writtenBy(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, fmt.Errorf("measure what is written: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseUint(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, fmt.Errorf("measure what is written: /proc/%d/io is %q", pid, b)
}

// processorTime begins to measure how much processor time n pins take of the peers, the nodes, and a front, which may
// be nil. said says it, for each pin.
func (w *world) processorTime(front *service, n int) (said func(part string) error, err error) {
	pids := make(map[string][]int)
	for i, p := range w.Peers {
		pids["peers"] = append(pids["peers"], p.PID())
		if node := w.nodes[i].process(); node != nil { // a null node is in this process
			pids["nodes"] = append(pids["nodes"], node.PID())
		}
	}
	if front != nil {
		pids["front"] = []int{front.server.PID()}
	}
	used := func(of string) (all time.Duration, err error) {
		for _, pid := range pids[of] {
			one, failed := rig.CPUTime(pid)
			all, err = all+one, errors.Join(err, failed)
		}
		return all, err
	}
	began := make(map[string]time.Duration)
	for of := range pids {
		took, failed := used(of)
		began[of], err = took, errors.Join(err, failed)
	}
	return func(part string) (err error) {
		text := part + ": processor time a pin"
		for _, of := range slices.Sorted(maps.Keys(pids)) {
			took, failed := used(of)
			text += fmt.Sprintf(", %s %s", of, short((took-began[of])/time.Duration(n)))
			err = errors.Join(err, failed)
		}
		w.b.say("%s", text)
		return err
	}, err
}

// diskUse is what is allocated on disk for all files below a directory.
func diskUse(dir string) (n uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it has just gone
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		const statBlock = 512 // what st_blocks counts, whatever the file system's blocks are
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n += uint64(st.Blocks) * statBlock
		}
		return nil
	})
	return n, err
}

// peakMemory is the maximum of own memory that a process holds until stop is called.
func peakMemory(pid int) (stop func() (uint64, error)) {
	quit, done := make(chan struct{}), make(chan struct{})
	var peak uint64
	var err error
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var n uint64
			if n, err = rig.OwnMemory(pid); err != nil {
				return
			}
			peak = max(peak, n)
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return func() (uint64, error) {
		close(quit)
		<-done
		return peak, err
	}
}

// metric sums the values of a server's metric whose labels have some texts.
func metric(ctx context.Context, s *rig.Server, name string, labels ...string) (sum float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
next:
	for line := range strings.Lines(string(all)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			return 0, fmt.Errorf("read the metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, nil
}
