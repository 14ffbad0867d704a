package main

// serviceUnit is where a holdfast that systemd runs can be seen from outside.
type serviceUnit struct {
	stateDir string // the data directory of the unit
	cgroup   string // a directory that is there while the unit runs
}

// systemUnit is the unit as deploy/holdfast.service has it. The data of a
// dynamic user can be read by root only, its cgroup be seen by anybody.
func systemUnit() serviceUnit {
	return serviceUnit{
		stateDir: "/var/lib/holdfast",
		cgroup:   "/sys/fs/cgroup/system.slice/holdfast.service",
	}
}
