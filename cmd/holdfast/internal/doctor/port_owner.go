package doctor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ownerOf looks a port up in /proc, as Linux has it. Only root sees the processes of other users.
func ownerOf(network string, port uint16) string {
	wanted := map[string]bool{}
	for _, table := range []string{network[:3], network[:3] + "6"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(b) {
			fields := strings.Fields(string(line))
			if len(fields) < 10 {
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			n, err := strconv.ParseUint(hex, 16, 16)
			const listens, bound = "0A", "07" // a TCP socket that listens, a UDP socket
			if err == nil && uint16(n) == port && (fields[3] == listens || fields[3] == bound) {
				wanted["socket:["+fields[9]+"]"] = true
			}
		}
	}
	if len(wanted) == 0 {
		return ""
	}
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range open {
		to, err := os.Readlink(fd)
		if err != nil || !wanted[to] {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
	}
	return ""
}
