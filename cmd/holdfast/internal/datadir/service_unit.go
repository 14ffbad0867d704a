package datadir

// ServiceUnit says how to find a holdfast that systemd runs.
type ServiceUnit struct {
	StateDir   string // the data directory of the unit
	ConfigFile string // its configuration, if there is one
	Cgroup     string // a directory that exists while the unit runs
}

// SystemUnit is the unit in deploy/holdfast.service. Only root can read its data directory,
// but everybody can see its cgroup.
func SystemUnit() ServiceUnit {
	return ServiceUnit{
		StateDir:   "/var/lib/holdfast",
		ConfigFile: "/etc/holdfast/config.toml",
		Cgroup:     "/sys/fs/cgroup/system.slice/holdfast.service",
	}
}
