package doctor

import (
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
)

// Host is how the checks see the host. [ThisHost] gives the real one.
type Host struct {
	FileSystem filesystem.System
	Machine    func() (config.Machine, error)
	WordBits   int
	// AddressSpace is how many bytes the process may map; math.MaxUint64 is no limit.
	AddressSpace func() uint64
	Now          func() time.Time
	// Synchronised reports whether the clock is kept by others. known is false where nobody says so.
	Synchronised func() (yes, known bool)
	// Listen takes an address for a moment. network is as for net.Listen, and "udp4" or "udp6".
	Listen func(network, address string) error
	// OwnerOf says which process has a port; "" if that is not known.
	OwnerOf func(network string, port uint16) string
	Build   *debug.BuildInfo
}

// ThisHost is the host that this process runs on.
func ThisHost(log *slog.Logger) Host {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = new(debug.BuildInfo)
	}
	return Host{
		Machine:      func() (config.Machine, error) { return config.ThisMachine(log) },
		WordBits:     strconv.IntSize,
		AddressSpace: addressSpaceLimit,
		Now:          time.Now,
		Synchronised: clockSynchronised,
		Listen:       listen,
		OwnerOf:      ownerOf,
		Build:        build,
	}
}

// LookAhead looks at the ports that a configuration names. Call it before the process gives up root:
// only root may have those below 1024, and sees who has one.
func (h *Host) LookAhead(c config.Config) {
	type seen struct {
		err   error
		owner string
	}
	all := map[[2]string]seen{}
	for _, w := range places(c) {
		var s seen
		if s.err = h.Listen(w.network, w.address); s.err != nil {
			s.owner = h.OwnerOf(w.network, portOf(w.address))
		}
		all[[2]string{w.network, w.address}] = s
	}
	h.Listen = func(network, address string) error { return all[[2]string{network, address}].err }
	h.OwnerOf = func(network string, port uint16) string {
		for at, s := range all {
			if at[0] == network && portOf(at[1]) == port && s.owner != "" {
				return s.owner
			}
		}
		return ""
	}
}

func addressSpaceLimit() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &r); err != nil || int64(r.Cur) < 0 || uint64(r.Cur) >= math.MaxInt64 {
		return math.MaxUint64
	}
	return uint64(r.Cur)
}

func listen(network, address string) error {
	if network == "udp4" || network == "udp6" {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return l.Close()
}

// built is when the program was made from; zero if the build does not say.
func built(info *debug.BuildInfo) (at time.Time) {
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, _ = time.Parse(time.RFC3339, s.Value)
		}
	}
	return at
}
