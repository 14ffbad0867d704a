package rig

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd a process group, and has it killed when the thread that
// starts it ends, so that an interrupted test run leaves no daemons behind.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
