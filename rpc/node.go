package rpc

import (
	"runtime"
	"slices"
	"strings"
)

const (
	// kuboVersion is the Kubo whose RPC this is. Clients look at it to find out what they
	// can ask for.
	kuboVersion = "0.43.0"
	repoVersion = "18" // that Kubo's
)

// version tells whose RPC this is, and which Holdfast answers.
func version(q *call) error {
	return q.out.one(struct{ Version, Commit, Repo, System, Golang string }{
		kuboVersion, "holdfast-" + q.Node().Version, repoVersion, runtime.GOARCH + "/" + runtime.GOOS, runtime.Version(),
	})
}

// id tells who the node is.
func id(q *call) error {
	n := q.Node()
	return q.out.one(struct {
		ID, PublicKey string
		Addresses     []string
		AgentVersion  string
		Protocols     []string
	}{n.ID, n.PublicKey, append([]string{}, n.Addresses...), "holdfast/" + n.Version, append([]string{}, n.Protocols...)})
}

type (
	listedOption  struct{ Names []string }
	listedCommand struct {
		Name        string
		Subcommands []listedCommand
		Options     []listedOption
	}
)

// listCommands lists the commands that are here, as a tree.
func listCommands(q *call) error {
	root := listedCommand{"ipfs", []listedCommand{}, optionsOf(everywhere)}
	for _, cmd := range q.ways.commands {
		root.put(strings.Split(cmd.name, "/"), optionsOf(cmd.params))
	}
	return q.out.one(root)
}

// put adds a command below another.
func (l *listedCommand) put(path []string, options []listedOption) {
	if len(path) == 0 {
		l.Options = options
		return
	}
	i := slices.IndexFunc(l.Subcommands, func(s listedCommand) bool { return s.Name == path[0] })
	if i < 0 {
		i = len(l.Subcommands)
		l.Subcommands = append(l.Subcommands, listedCommand{path[0], []listedCommand{}, []listedOption{}})
	}
	l.Subcommands[i].put(path[1:], options)
}

func optionsOf(params []param) []listedOption {
	options := make([]listedOption, len(params))
	for i, p := range params {
		options[i] = listedOption{p.names}
	}
	return options
}
