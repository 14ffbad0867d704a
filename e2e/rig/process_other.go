//go:build unix && !linux

package rig

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd its own process group.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}
