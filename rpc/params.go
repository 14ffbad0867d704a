package rpc

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cidutil/cidenc"
	"github.com/multiformats/go-multibase"
)

// kind is the type of a parameter's value.
type kind int

const (
	boolean kind = iota
	integer
	word
	duration
)

// param is a parameter of a command. Its names are Kubo's, the short ones included.
type param struct {
	names []string
	kind  kind
	// only is the one value that is heeded; others are refused, with why. "" is any.
	only, why string
	many      bool // it may be given again and again
}

func (p param) name() string { return p.names[0] }

func takes(k kind, names ...string) param { return param{names: names, kind: k} }

// everywhere are the parameters of every command.
var everywhere = []param{
	takes(word, "cid-base"),
	takes(boolean, "upgrade-cidv0-in-output"),
	takes(duration, "timeout"),
	// Kubo's command line sends these two. The first changes nothing. The second is the token
	// once more, which counts in the header alone.
	takes(boolean, "stream-channels"),
	takes(word, "api-auth"),
	// kubo-rpc-client sends these options of its own along.
	takes(word, "headers"),
	takes(word, "on-upload-progress"),
	{names: []string{"encoding", "enc"}, kind: word, only: "json", why: "answers are JSON"},
	{names: []string{"offline", "local", "L"}, kind: boolean, only: "true", why: "nothing is fetched here"},
}

const (
	// maxArgs bounds what one call does: each argument takes a look at who has it.
	maxArgs = 100
	// maxParam bounds a value, in bytes: a path of the depth that file systems have.
	maxParam = 8 << 10
)

// values are the parameters of a call, by the long name of each.
type values map[string]string

// parseQuery takes a query apart, as the command has it.
func (cmd *command) parseQuery(raw string) (args []string, v values, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, nil, refuse("the query cannot be read: %v", err)
	}
	v = values{}
	for name, given := range query {
		for _, value := range given {
			if len(value) > maxParam {
				return nil, nil, refuse("parameter %q is longer than %d bytes", shorten(name), maxParam)
			}
		}
		if name == "arg" {
			args = given
			continue
		}
		p, ok := cmd.param(name)
		if !ok {
			return nil, nil, refuse("parameter %q is not supported by %s", shorten(name), cmd.name)
		}
		if _, twice := v[p.name()]; twice || len(given) > 1 && !p.many {
			return nil, nil, refuse("parameter %q is given more than once", p.name())
		}
		if err := p.check(given[0]); err != nil {
			return nil, nil, err
		}
		v[p.name()] = given[0]
	}
	switch {
	case len(args) < cmd.minArgs:
		names := strings.Fields(cmd.arg)
		return nil, nil, refuse("argument %q is required", names[min(len(args), len(names)-1)])
	case len(args) > cmd.maxArgs:
		return nil, nil, refuse("%s takes %d arguments at most, and is given %d", cmd.name, cmd.maxArgs, len(args))
	}
	return args, v, nil
}

func (cmd *command) param(name string) (param, bool) {
	for _, list := range [][]param{cmd.params, everywhere} {
		if i := slices.IndexFunc(list, func(p param) bool { return slices.Contains(p.names, name) }); i >= 0 {
			return list[i], true
		}
	}
	return param{}, false
}

func (p param) check(value string) (err error) {
	same := value == p.only
	switch p.kind {
	case boolean:
		var b bool
		if b, err = strconv.ParseBool(value); err == nil {
			same = strconv.FormatBool(b) == p.only
		}
	case integer:
		_, err = strconv.ParseInt(value, 0, 64)
	case duration:
		_, err = time.ParseDuration(value)
	}
	if err != nil {
		return refuse("parameter %q: %v", p.name(), err)
	}
	if p.only != "" && !same {
		return refuse("parameter %q is supported as %q only: %s", p.name(), p.only, p.why)
	}
	return nil
}

// is gives a boolean; unless is its value if it is not given.
func (v values) is(name string, unless bool) bool {
	if s, ok := v[name]; ok {
		b, _ := strconv.ParseBool(s) // it was checked
		return b
	}
	return unless
}

// number gives an integer; unless is its value if it is not given.
func (v values) number(name string, unless int64) int64 {
	if s, ok := v[name]; ok {
		n, _ := strconv.ParseInt(s, 0, 64) // it was checked
		return n
	}
	return unless
}

// encoder says how the CIDs of an answer are written.
func (v values) encoder() (cidenc.Encoder, error) {
	e := cidenc.Default()
	if name := v["cid-base"]; name != "" {
		base, err := multibase.EncoderByName(name)
		if err != nil {
			return e, refuse("parameter \"cid-base\": %v", err)
		}
		e.Base = base
		e.Upgrade = base.Encoding() != multibase.Base58BTC // which alone can write version 0
	}
	e.Upgrade = v.is("upgrade-cidv0-in-output", e.Upgrade)
	return e, nil
}

// shorten makes what a client sent fit to be quoted.
func shorten(s string) string {
	const enough = 64
	if len(s) > enough {
		s = s[:enough] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
