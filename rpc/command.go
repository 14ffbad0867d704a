package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cidutil/cidenc"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// command is one of Kubo's, as it is here.
type command struct {
	name             string
	arg              string // what its arguments are called
	minArgs, maxArgs int
	params           []param
	scope            auth.Scope // that a token needs
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

var progressBar = []string{"progress", "p"}

// commands lists all that there are.
var commands = []command{
	{name: "block/get", arg: "cid", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: blockGet},
	{name: "block/stat", arg: "cid", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: blockStat},
	{
		name: "cat", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: cat,
		params: append(shown(progressBar), takes(integer, "offset", "o"), takes(integer, "length", "l")),
	},
	{name: "dag/export", arg: "root", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: dagExport, params: shown(progressBar)},
	{
		name: "dag/get", arg: "ref", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: dagGet,
		params: []param{takes(word, "output-codec")},
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
		name: "refs", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopeRead, run: refs,
		params: []param{
			takes(word, "format"), takes(boolean, "edges", "e"), takes(boolean, "unique", "u"),
			takes(boolean, "recursive", "r"), takes(integer, "max-depth"),
		},
	},
	{
		name: "version", scope: auth.ScopeRead, run: version,
		params: shown([]string{"number", "n"}, []string{"commit"}, []string{"repo"}, []string{"all"}),
	},
}

func commandNames() string {
	names := make([]string, len(commands))
	for i := range commands {
		names[i] = commands[i].name
	}
	return strings.Join(names, ", ")
}

// maxCalls is how many commands an account may have under way. Each may hold what maxSeen
// and maxHeld allow.
const maxCalls = 16

// api has what the commands stand on.
type api struct {
	Config
	log *slog.Logger

	mu   sync.Mutex
	busy map[string]int // calls under way of each account
}

func newAPI(cfg Config) *api { return &api{Config: cfg, log: cfg.Logger, busy: map[string]int{}} }

// enter counts a call of an account. leave is to be called at its end; nil is that there
// are too many.
func (a *api) enter(account string) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[account] >= maxCalls {
		return nil
	}
	a.busy[account]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.busy[account]--; a.busy[account] == 0 {
			delete(a.busy, account)
		}
	}
}

// call is one call of a command.
type call struct {
	*api
	*reader
	ctx     context.Context
	account string
	args    []string
	values  values
	cids    cidenc.Encoder
	out     *writer
}

func (a *api) serve(c echo.Context, cmd *command) error {
	r := c.Request()
	p, ok := auth.PrincipalFrom(r.Context())
	if !ok || p.Account == "" {
		return auth.ErrUnauthorized
	}
	args, v, err := cmd.parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	cids, err := v.encoder()
	if err != nil {
		return err
	}
	if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
		return refuse("%s takes no body: its arguments are in the query", cmd.name)
	}
	leave := a.enter(p.Account)
	if leave == nil {
		f := fail(http.StatusTooManyRequests, codeRate, "the account has %d commands under way, which is as many as may be", maxCalls)
		f.retryAfter = retryBusy
		return f
	}
	defer leave()
	var (
		ctx    context.Context
		cancel context.CancelFunc
	)
	if t, given := v["timeout"]; given {
		timeout, _ := time.ParseDuration(t) // it was checked
		ctx, cancel = context.WithTimeout(r.Context(), timeout)
	} else {
		ctx, cancel = context.WithCancel(r.Context())
	}
	defer cancel()
	c.SetRequest(r.WithContext(ctx))
	q := &call{api: a, reader: newReader(a.Blocks), ctx: ctx, account: p.Account, args: args, values: v, cids: cids, out: newWriter(c)}
	return q.blame(ctx, cmd.run(q))
}
