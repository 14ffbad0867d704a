package datadir

// ServiceUnit is where a holdfast that systemd runs can be seen from outside.
type ServiceUnit struct {
	StateDir string // the data directory of the unit
	Cgroup   string // a directory that is there while the unit runs
}

// SystemUnit is the unit as deploy/holdfast.service has it. The data of a
// dynamic user can be read by root only, its cgroup be seen by anybody.
func SystemUnit() ServiceUnit {
	return ServiceUnit{
		StateDir: "/var/lib/holdfast",
		Cgroup:   "/sys/fs/cgroup/system.slice/holdfast.service",
	}
}
