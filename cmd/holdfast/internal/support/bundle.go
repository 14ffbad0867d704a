// Package support makes the file that an operator sends to somebody who looks for a fault.
//
// Everything that goes into it passes a [Scrubber], which takes out secrets, the addresses of users
// and of other nodes, and what is pinned.
package support

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// readme is the first file of a bundle.
const readme = `This file was made by "holdfast support". It is for somebody who looks for a fault in a
server. Look through it before you send it.

What is in it:

    version.txt     the version of the program, of the system, and of the libraries
    doctor.txt      what "holdfast doctor" says
    settings.json   the configuration as it is now, and where each value comes from
    running.json    the configuration that the running server has
    condition.json  how the running server is
    stats.json      how much the store has
    metrics.txt     what /metrics says
    log.txt         the end of the log of the running server
    journal.txt     the end of what systemd's journal has of it
    logfile.txt     the end of the file that --log named
    goroutines.txt  what each part of the running server was doing
    files.txt       the files of the data directory, with their sizes and times

What there is not, or could not be read, is missing, and missing.txt says why.

What was taken out: passwords, tokens, keys and other secrets; e-mail addresses and ids of
accounts; IP addresses and host names, but 127.0.0.1, localhost and the like; the bucket of
backups; peer IDs; CIDs, hashes, and names of pins and tokens; what is behind a "?" in a URL.
In the place of each stands a word such as (address-1f6c29d0). The same thing has the same
word everywhere in this file, and another word in the next one.

This is done by the look of things. A name that somebody chose and that stands in the middle
of an error message may still be there.
`

// Bundle writes a support file: a tar.gz. It is for one goroutine.
type Bundle struct {
	scrub   *Scrubber
	zip     *gzip.Writer
	tar     *tar.Writer
	now     time.Time
	missing string
}

// folder is the directory of all files in the bundle.
const folder = "holdfast-support/"

// NewBundle begins a support file. now is the time of the files in it.
func NewBundle(w io.Writer, s *Scrubber, now time.Time) (*Bundle, error) {
	zip := gzip.NewWriter(w)
	b := &Bundle{scrub: s, zip: zip, tar: tar.NewWriter(zip), now: now}
	return b, b.write("README.txt", readme)
}

// Text adds a text, scrubbed. An empty one is left out.
func (b *Bundle) Text(name, text string) error {
	if text == "" {
		return nil
	}
	return b.write(name, b.scrub.Text(text))
}

// JSON adds a value as JSON, scrubbed.
func (b *Bundle) JSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return b.Text(name, string(text)+"\n")
}

// Missing notes why a file is not there.
func (b *Bundle) Missing(name string, why error) {
	b.missing += name + ": " + why.Error() + "\n"
}

// Close ends the file. It does not close the writer.
func (b *Bundle) Close() error {
	return errors.Join(b.Text("missing.txt", b.missing), b.tar.Close(), b.zip.Close())
}

func (b *Bundle) write(name, text string) error {
	err := b.tar.WriteHeader(&tar.Header{Name: folder + name, Mode: 0o600, Size: int64(len(text)), ModTime: b.now})
	if err == nil {
		_, err = io.WriteString(b.tar, text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
