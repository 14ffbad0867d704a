package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// refusal is an error that a peer answered with: the cluster's word, so that asking another peer
// would not help.
type refusal struct {
	peer    string
	call    string
	status  int
	message string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("%s at cluster peer %s: %d: %s", e.call, e.peer, e.status, e.message)
}

// isRefusal reports whether a peer refused a call.
func isRefusal(err error) bool {
	_, is := errors.AsType[*refusal](err)
	return is
}

// peerError is an error of a call that a peer did not do, or whose answer is none of a peer. Another
// peer may do it.
type peerError struct {
	call string
	peer string
	err  error
}

func (e *peerError) Error() string {
	return e.call + " at cluster peer " + e.peer + ": " + e.err.Error()
}
func (e *peerError) Unwrap() error { return e.err }

// notThere reports whether a peer answered that the CID is not in its pinset.
func notThere(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == http.StatusNotFound
}

// tooFew reports whether the cluster has too few peers with room for the copies.
func tooFew(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && strings.HasPrefix(r.message, "not enough peers to allocate")
}

// badOptions reports whether the cluster cannot read what was sent with a pin, such as an origin.
func badOptions(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == http.StatusBadRequest
}

var (
	// errUnauthorized: a peer does not accept the user name and password.
	errUnauthorized = errors.New("it refuses the user name and password of this server (cluster.username, cluster.password_file)")
	// errNoPeer: the answer is not one of a cluster peer, such as that of a proxy.
	errNoPeer = errors.New("what answers is no cluster peer")
	// errCut: an answer ended before it was whole.
	errCut = errors.New("the answer ends before it is whole")
	// errNodeAway: a peer answers, and its node does not answer the peer.
	errNodeAway = errors.New("its node does not answer")
	// errSilent: a peer did not answer in time.
	errSilent = errors.New("no answer in time")
)

// isRefused reports whether what answers at the URL of a peer takes no calls of this server, which goes on
// until an operator mends it.
func isRefused(err error) bool { return errors.Is(err, errUnauthorized) || errors.Is(err, errNoPeer) }

// away is what a user is shown while no peer does what a pin needs.
func away(format string, a ...any) error { return &pin.AwayError{Reason: fmt.Sprintf(format, a...)} }

// errAllAway is for a call that no peer answered. A user is shown the [*pin.AwayError] in it alone, and
// the log has why.
func errAllAway(why error) error {
	all := away("no peer of the cluster answers; it goes on when one does")
	if errors.Is(why, errUnauthorized) {
		all = away("the cluster refuses this server, which its operator has to mend; it goes on then")
	}
	if why == nil {
		return all
	}
	return fmt.Errorf("%w (%w)", all, why)
}
