package rig

import (
	"os/exec"
	"syscall"
)

// ownGroup gives cmd its own process group. The kernel kills cmd when the thread that started it
// ends, so an interrupted test run leaves no daemons behind.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
