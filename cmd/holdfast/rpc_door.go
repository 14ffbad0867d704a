package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/kuborpc"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// rpcDoor is how a command reaches Kubo's RPC: that of the server on the data directory, as an
// account, or any other by its address and a token.
type rpcDoor struct {
	api, token, tokenFile, user string
}

func (d *rpcDoor) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.api, "api", "", "URL or multiaddr of another server's RPC, also a Kubo's (default $"+config.EnvAPI+", else the server on the data directory)")
	f.StringVar(&d.tokenFile, "token-file", "", "file with the token for --api")
	f.StringVar(&d.token, "token", "", "token for --api; other users of this machine can see it there (default $"+config.EnvToken+")")
	f.StringVar(&d.user, "user", "", "without --api, the account to act for, by its address or id; needed if there are several accounts")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	cmd.MarkFlagsMutuallyExclusive("api", "user")
}

// maxToken is far more than a token has.
const maxToken = 16 << 10

// secret finds the token.
func (d *rpcDoor) secret(c *cli) (string, error) {
	if d.tokenFile == "" {
		if d.token == "" {
			return strings.TrimSpace(c.getenv(config.EnvToken)), nil
		}
		return strings.TrimSpace(d.token), nil
	}
	text, err := os.ReadFile(d.tokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("%s does not have a token, and nothing else, in it", d.tokenFile)
	}
	return token, nil
}

// withRPC runs fn with a client.
func (c *cli) withRPC(ctx context.Context, d rpcDoor, fn func(*kuborpc.Client) error) error {
	if d.api == "" && d.user == "" {
		d.api = c.getenv(config.EnvAPI)
	}
	if d.api != "" {
		token, err := d.secret(c)
		if err != nil {
			return err
		}
		client, err := kuborpc.New(d.api, token, nil)
		if err != nil {
			return err
		}
		return hintRPC(ctx, fn(client))
	}
	if d.token != "" || d.tokenFile != "" {
		return errors.New("a token is for --api; the server on the data directory needs none")
	}
	return c.withAdmin(ctx, false, func(a *admin.Client) error {
		if !a.Running() {
			return hint.Add(errors.New("no server runs on this data directory"), "`holdfast serve` runs one; --api names another server")
		}
		client, err := kuborpc.New("http://"+admin.SocketName, "", a.ForAccount(d.user))
		if err != nil {
			return err
		}
		return hintFiles(hintRPC(ctx, fn(client)))
	})
}

// hintFiles says who reads and writes files, if that user may not: a command that speaks to the
// server on the data directory may have given up root.
func hintFiles(err error) error {
	if _, hinted := errors.AsType[*hint.Error](err); !hinted && errors.Is(err, fs.ErrPermission) {
		return hint.Add(err, "a command that is run as root reads and writes files as the owner of the data directory: name a place where that user may; "+
			"standard input and output (`holdfast add - < FILE`, `holdfast export CID > FILE`) are yours")
	}
	return err
}

// hintRPC adds to the error of a call what to do about it.
func hintRPC(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	e, ok := errors.AsType[*kuborpc.Error](err)
	switch {
	case !ok:
		return err
	case e.Hint != "":
		return hint.Add(err, e.Hint)
	case e.Status == 401 || e.Status == 403:
		return hint.Add(err, "give a token by "+config.EnvToken+" or --token-file; `holdfast token create` makes one on the server")
	}
	return err
}
