package rpc

import (
	"net/http"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// ways is all in which the two doors differ: that of accounts, who come with a token, and that
// of a program on this machine ([Local]).
type ways struct {
	commands []command
	// So many calls may be under way: of those that work, those that wait for a pin, and those
	// that send files. Of these so many run, of all accounts and of one.
	calls, waits, uploads int
	allRun, accountRuns   int
	// mayRead lets a CID through. owned is a request that it is the root of, if that is known.
	mayRead func(q *call, c cid.Cid) (owned *pin.Request, err error)
	// request gives the request for a CID that is to be pinned, or makes one.
	request func(q *call, c cid.Cid, name string, named bool) (v pin.View, made bool, err error)
	// status is the status of an error.
	status func(*failure) int
	// trailer is whether an answer has one. behind tells an error of an answer that has begun.
	trailer bool
	behind  func(c echo.Context, message string)
}

// accountWays are those of accounts.
func accountWays() ways {
	return ways{
		commands: commands, calls: maxCalls, waits: maxWaits, uploads: maxUploads,
		allRun: allRun, accountRuns: accountRuns,
		mayRead: (*call).mayRead, request: (*call).requestFor,
		status:  func(f *failure) int { return f.status },
		trailer: true, behind: tellBehind,
	}
}

const (
	// A cluster peer has as many pins under way as its concurrent_pins, which its operators set
	// up to 256, and asks for the state of one or two pins at the same time for each.
	localCalls = 4 << 10
	// So many uploads may be under way, and run. Each of the latter has a few MiB in hand.
	localUploads = 256
	localRuns    = 64
)

// localWays are those of a program on this machine. It reads what may be served to peers, which
// anybody could fetch. It tells failures as Kubo does, by the status 500, and cuts an answer off
// that cannot be completed: ipfs-cluster reads no trailers, and would take the part for the whole.
func localWays() ways {
	return ways{
		commands: localCommands, calls: localCalls, waits: localCalls, uploads: localUploads,
		allRun: localRuns, accountRuns: localRuns,
		mayRead: func(*call, cid.Cid) (*pin.Request, error) { return nil, nil },
		request: func(q *call, c cid.Cid, name string, named bool) (pin.View, bool, error) {
			return q.hold(written{c, recursive}, name, named, true)
		},
		status: kuboStatus,
		behind: func(echo.Context, string) { panic(http.ErrAbortHandler) },
	}
}

// kuboStatus is Kubo's status of an error.
func kuboStatus(f *failure) int {
	switch f.status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusTooManyRequests:
		return f.status
	case http.StatusBadRequest:
		if f.code == codeClient {
			return f.status
		}
	}
	return http.StatusInternalServerError
}
