#!/usr/bin/env bash
# go-ipld-git v0.1.3: a commit that an SSH key signed cannot be decoded
#
# git signs commits by an SSH key if gpg.format is ssh, and keeps the signature in the header
# gpgsig, as it does those of GnuPG. DecodeCommit takes a signature for one of GnuPG, which
# has an empty line, a version or a comment below its first line. It refuses the commit, so
# what is built on it (Kubo v0.43.0) can neither walk nor pin a history that has one.
#
# Seen:
#   not signed: decoded
#   signed by an SSH key: expected first line of sig to be a single space or version
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go, git, ssh-keygen.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/ipfs/go-ipld-git v0.1.3
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"

	ipldgit "github.com/ipfs/go-ipld-git"
)

// decode reads a commit, as git has it in its loose objects, from a file.
func decode(what, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		fmt.Println("could not be tried:", err)
		os.Exit(2)
	}
	object := append(fmt.Appendf(nil, "commit %d\x00", len(body)), body...)
	commit := ipldgit.Type.Commit__Repr.NewBuilder()
	if err := ipldgit.Decode(commit, bytes.NewReader(object)); err != nil {
		fmt.Printf("%s: %v\n", what, err)
		return err
	}
	fmt.Printf("%s: decoded\n", what)
	return nil
}

func main() {
	plain, signed := decode("not signed", "plain"), decode("signed by an SSH key", "signed")
	if plain != nil {
		os.Exit(2)
	}
	if signed == nil {
		os.Exit(1)
	}
}
GO
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
repository() {
	git -C repository -c user.name=name -c user.email=name@example.com \
		-c gpg.format=ssh -c user.signingkey="$dir/key.pub" "$@"
}
{
	ssh-keygen -q -t ed25519 -N '' -f key
	git init -q repository
	repository commit -q --allow-empty -m plain
	repository cat-file commit HEAD >plain
	repository commit -q -S --allow-empty -m signed
	repository cat-file commit HEAD >signed
} || { echo "could not be tried: git cannot sign by an SSH key" >&2; exit 2; }
go mod tidy >/dev/null 2>&1 || { echo "could not be tried: go mod tidy" >&2; exit 2; }
go build -o finding . || exit 2
./finding
