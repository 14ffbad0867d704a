package config

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/pbnjay/memory"
)

// Machine is what the process may use.
type Machine struct {
	Memory uint64 // in bytes
	Files  uint64 // how many it may have open
}

// ThisMachine asks the system. The memory is that of the host, or the limit of the process's
// cgroup if that is lower: systemd's MemoryMax and containers set it. When the process
// started, Go raised the limit of open files to the hard limit.
func ThisMachine(log *slog.Logger) (Machine, error) {
	m := Machine{Memory: memory.TotalMemory()}
	limit, err := memlimit.FromCgroup()
	switch {
	case err == nil:
		m.Memory = min(m.Memory, limit)
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default: // for example in a container that does not see its cgroup
		log.Debug("cannot tell whether a cgroup limits the memory", "err", err)
	}
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return m, fmt.Errorf("ask how many files may be open: %w", err)
	}
	m.Files = uint64(r.Cur) // signed on FreeBSD
	return m, nil
}
