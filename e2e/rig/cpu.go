package rig

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// cpuTick is the unit of processor time in /proc: USER_HZ, which is 100 on every architecture
// that Go runs on.
const cpuTick = 10 * time.Millisecond

// CPUTime is how long the process has been on a processor, in user and in system mode,
// since it began. It is exact to 10 ms, and needs Linux.
func CPUTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("measure processor time: %w", err)
	}
	// The command's name is in parentheses and may have any byte in it. The state follows it.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const user, system = 11, 12 // fields 14 and 15 of proc(5), of which two are cut off
	if len(f) <= system {
		return 0, fmt.Errorf("measure processor time: /proc/%d/stat is %q", pid, b)
	}
	var ticks [2]int64
	for i, at := range []int{user, system} {
		if _, err := fmt.Sscan(f[at], &ticks[i]); err != nil {
			return 0, fmt.Errorf("measure processor time: %q: %w", f[at], err)
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * cpuTick, nil
}
