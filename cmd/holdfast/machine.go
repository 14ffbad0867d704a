package main

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/pbnjay/memory"
)

// machine is what there is for the process to use.
type machine struct {
	memory uint64 // bytes
	files  uint64 // that it may have open
}

// thisMachine asks the system. The memory is that of the host, or what the
// process's cgroup may have of it, as systemd's MemoryMax and containers set
// it. Go has raised the limit of open files to the hard one when the process
// started, as Kubo does.
func thisMachine(log *slog.Logger) (machine, error) {
	m := machine{memory: memory.TotalMemory()}
	limit, err := memlimit.FromCgroup()
	switch {
	case err == nil:
		m.memory = min(m.memory, limit)
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default: // such as a container that does not see its cgroup
		log.Debug("cannot tell whether a cgroup limits the memory", "err", err)
	}
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return m, fmt.Errorf("ask how many files may be open: %w", err)
	}
	m.files = r.Cur
	return m, nil
}
