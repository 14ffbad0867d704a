package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cidutil/cidenc"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/keyed"
)

// command is one of Kubo's, as it is here.
type command struct {
	name             string
	arg              string // what its arguments are called, in their order; the last name is for all further ones
	minArgs, maxArgs int
	params           []param
	scope            auth.Scope // that a token needs
	admin            bool       // for admins only
	waits            bool       // for others, more than it works
	files            bool       // it has a body: files
	run              func(*call) error
}

// shown are parameters by which Kubo's command line shows an answer. It sends them, and
// they change nothing in the answer.
func shown(names ...[]string) (list []param) {
	for _, n := range names {
		list = append(list, takes(boolean, n...))
	}
	return list
}

// allBelow is that a pin is of a whole DAG.
var allBelow = param{names: []string{"recursive", "r"}, kind: boolean, only: "true", why: "a pin is of all that is below its CID"}

var progressBar = []string{"progress", "p"}

// commands lists all that there are.
var commands = []command{
	{name: "add", scope: auth.ScopePin, files: true, run: add, params: ofAdd},
	{
		name: "block/get", arg: "cid", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: blockGet,
		// By these kubo-rpc-client says to itself what it looks for in the block.
		params: []param{takes(word, "path"), takes(boolean, "local-resolve")},
	},
	{
		name: "block/put", scope: auth.ScopePin, files: true, run: blockPut,
		params: ofPut(takes(word, "cid-codec"), takes(word, "mhtype"), takes(integer, "mhlen"), takes(word, "format", "f")),
	},
	{name: "block/stat", arg: "cid", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: blockStat},
	{
		name: "cat", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: cat,
		params: append(shown(progressBar), takes(integer, "offset", "o"), takes(integer, "length", "l")),
	},
	{name: "commands", scope: auth.ScopeRead, run: listCommands, params: shown([]string{"flags", "f"})},
	{name: "dag/export", arg: "root", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: dagExport, params: shown(progressBar)},
	{
		name: "dag/get", arg: "ref", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: dagGet,
		params: []param{takes(word, "output-codec")},
	},
	{name: "dag/import", scope: auth.ScopePin, files: true, run: dagImport, params: ofImport},
	{
		name: "dag/put", scope: auth.ScopePin, files: true, run: dagPut,
		params: ofPut(takes(word, "store-codec"), takes(word, "input-codec"), takes(word, "hash")),
	},
	{
		name: "dag/stat", arg: "root", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: dagStat,
		params: []param{takes(boolean, progressBar...)},
	},
	{
		name: "get", arg: "ipfs-path", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: get,
		params: append(shown(progressBar), takes(word, "output", "o"), takes(boolean, "archive", "a"),
			takes(boolean, "compress", "C"), takes(integer, "compression-level", "l")),
	},
	{
		name: "id", scope: auth.ScopeRead, run: id,
		params: []param{
			{names: []string{"peerid-base"}, kind: word, only: "b58mh", why: "that is how the ID is written here"},
			takes(word, "format", "f"), // how the command line shows it
		},
	},
	{
		name: "ls", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: ls,
		params: append(shown([]string{"headers", "v"}, []string{"long", "l"}),
			takes(boolean, "resolve-type"), takes(boolean, "size"), takes(boolean, "stream", "s")),
	},
	{
		name: "pin/add", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopePin, waits: true, run: pinAdd,
		params: []param{
			allBelow, takes(word, "name", "n"), takes(boolean, "progress"),
			takes(boolean, "stream"), // kubo-rpc-client's, which changes nothing
		},
	},
	{
		name: "pin/ls", arg: "ipfs-path", maxArgs: maxArgs, scope: auth.ScopeRead, run: pinLs,
		params: append(shown([]string{"quiet", "q"}), takes(word, "type", "t"), takes(word, "name", "n"),
			takes(boolean, "stream", "s"), takes(boolean, "names"),
			param{names: []string{"paths"}, kind: word, many: true}), // kubo-rpc-client's, beside the arguments
	},
	{name: "pin/rm", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopePin, run: pinRm, params: []param{allBelow}},
	{
		name: "pin/update", arg: "from-path to-path", minArgs: 2, maxArgs: 2, scope: auth.ScopePin, waits: true, run: pinUpdate,
		params: []param{takes(boolean, "unpin")},
	},
	{
		name: "refs", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: refs,
		params: []param{
			takes(word, "format"), takes(boolean, "edges", "e"), takes(boolean, "unique", "u"),
			takes(boolean, "recursive", "r"), takes(integer, "max-depth"),
		},
	},
	{
		name: "repo/stat", scope: auth.ScopeRead, run: repoStat,
		params: append(shown([]string{"human", "H"}), takes(boolean, "size-only", "s")),
	},
	{
		name: "routing/findprovs", arg: "key", minArgs: 1, maxArgs: 1, scope: auth.ScopePin, waits: true, run: findProviders,
		params: append(shown([]string{"verbose", "v"}), takes(integer, "num-providers", "n")),
	},
	{
		name: "swarm/peers", scope: auth.ScopeAdmin, admin: true, run: swarmPeers,
		params: []param{
			takes(boolean, "verbose", "v"), takes(boolean, "streams"), takes(boolean, "latency"),
			takes(boolean, "direction"), takes(boolean, "identify"),
		},
	},
	{
		name: "version", scope: auth.ScopeRead, run: version,
		params: shown([]string{"number", "n"}, []string{"commit"}, []string{"repo"}, []string{"all"}),
	},
}

func commandNames(all []command) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// maxCalls is how many commands an account may have under way. Each may hold what maxSeen
// and maxHeld allow.
const maxCalls = 16

// maxWaits is how many that wait for a pin an account may have under way beside those. Each
// takes a connection, and looks twice a second.
const maxWaits = 256

// callers is an account and the kind of its calls.
type callers struct {
	account string
	wait    bool
	upload  bool
}

// api has what the commands stand on.
type api struct {
	Config
	log *slog.Logger

	ways     ways
	local    *Local // nil: this is the door of accounts
	places   *places
	makes    *keyed.Locks // by account and DAG, while a request may be made
	searches *searches

	mu   sync.Mutex
	busy map[callers]int // calls under way
}

func newAPI(cfg Config, w ways) *api {
	return &api{
		Config: cfg, log: cfg.Logger, ways: w, places: newPlaces(w.allRun, w.accountRuns, cfg.Logger), makes: keyed.New(256), searches: newSearches(),
		busy: map[callers]int{},
	}
}

// enter counts a call. leave is to be called at its end.
func (a *api) enter(who callers) (leave func(), err error) {
	limit := a.ways.calls
	switch {
	case who.upload:
		limit = a.ways.uploads
	case who.wait:
		limit = a.ways.waits
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[who] >= limit {
		f := fail(http.StatusTooManyRequests, codeRate, "the account has %d commands under way, which is as many as may be", limit)
		f.retryAfter = retryBusy
		return nil, f
	}
	a.busy[who]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.busy[who]--; a.busy[who] == 0 {
			delete(a.busy, who)
		}
	}, nil
}

// call is one call of a command.
type call struct {
	*api
	*reader
	ctx     context.Context
	end     context.CancelCauseFunc // ends ctx
	who     auth.Principal
	account string // of who
	args    []string
	values  values
	cids    cidenc.Encoder
	out     *writer
	stop    func() // ends what watches the body for the call
}

func (a *api) serve(c echo.Context, cmd *command) error {
	r := c.Request()
	p, ok := auth.PrincipalFrom(r.Context())
	if !ok || p.Account == "" {
		return auth.ErrUnauthorized
	}
	if cmd.admin {
		if err := p.RequireAdmin(); err != nil {
			return err
		}
	}
	if a.Refuse != nil {
		if why := a.Refuse(cmd.name); why != "" {
			return fail(http.StatusNotImplemented, codeNormal, "%s", why)
		}
	}
	args, v, err := cmd.parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	cids, err := v.encoder()
	if err != nil {
		return err
	}
	if !cmd.files {
		if n, err := r.Body.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return refuse("%s takes no body: its arguments are in the query", cmd.name)
		}
		// The time that the server gives a whole request ends here: it reads ahead now, and if that
		// timed out, a command that waits for its pin would be ended.
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Time{}) // it fails only in a test
	}
	leave, err := a.enter(callers{account: p.Account, wait: cmd.waits, upload: cmd.files})
	if err != nil {
		return err
	}
	defer leave()
	share := a.Room.Share(p.Account)
	defer share.Close()
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	if t, given := v["timeout"]; given {
		timeout, _ := time.ParseDuration(t) // it was checked
		within, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = within
	}
	c.SetRequest(r.WithContext(ctx))
	q := &call{api: a, reader: newReader(a.Blocks, share), ctx: ctx, end: end, who: p, account: p.Account, args: args, values: v, cids: cids, out: newWriter(c, a.ways.trailer), stop: func() {}}
	defer func() { q.stop() }() // before the context ends
	// The time that the server gives a whole answer ends here. Each piece has its own, and a
	// command may wait for long before it has any.
	q.out.pause()
	defer q.out.limit() // for what the server sends at the end
	return q.blame(ctx, cmd.run(q))
}
