package rig

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Names of the files with what holdfast printed, beside each data directory.
const (
	serverLog   = "serve.log"
	commandsLog = "commands.log"
)

// aToken matches a JWT with its signature. Every token of ours is one.
var aToken = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)

// aKey matches a word in a file of keys that is long enough to be a key.
var aKey = regexp.MustCompile(`[A-Za-z0-9+/_=-]{40,}`)

// Leaks looks for secrets in everything that holdfast printed since the rig was made: the given
// passwords, any token, and the keys of every data directory that still exists. It names each file
// with the kind of secret that is in it, and returns how many files it read.
func (r *Rig) Leaks(passwords ...string) (leaks []string, read int, err error) {
	secrets := make(map[string]string) // to their kinds
	for _, p := range passwords {
		secrets[p] = "a password"
	}
	var logs []string
	err = filepath.WalkDir(r.Dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == serverLog || e.Name() == commandsLog:
			logs = append(logs, path)
		case strings.HasSuffix(e.Name(), ".key"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, key := range aKey.FindAllString(string(b), -1) {
				secrets[key] = "a key of " + e.Name()
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look for secrets: %w", err)
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, 0, fmt.Errorf("look for secrets: %w", err)
		}
		if aToken.Match(b) {
			leaks = append(leaks, path+": a token")
		}
		for s, kind := range secrets {
			if bytes.Contains(b, []byte(s)) {
				leaks = append(leaks, path+": "+kind)
			}
		}
	}
	return leaks, len(logs), nil
}
