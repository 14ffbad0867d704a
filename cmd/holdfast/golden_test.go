package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// plainer makes texts of different runs equal: it replaces each random value by a word and a
// number, in the order in which they come.
type plainer struct{ seen map[string][]string }

func newPlainer() *plainer { return &plainer{seen: make(map[string][]string)} }

// made are the forms of random values. The first that matches counts.
var made = []struct {
	word string
	text *regexp.Regexp
}{
	{"token", regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]+`)},
	{"id", regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)},
	{"event", regexp.MustCompile(`\b[0-9a-f]{24}\b`)},
	{"code", regexp.MustCompile(`\b[A-Z2-7]{26}\b`)},
	{"key", regexp.MustCompile(`\b[A-Z2-7]{8}\b`)},
}

var (
	times   = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	ports   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	amounts = regexp.MustCompile(`"(disk_bytes|free_bytes|disk_before|disk_after|elapsed)": ?\d+`)
	known   = regexp.MustCompile(`<(\w+)-(\d+)>`)
)

func (p *plainer) plain(s string) string {
	for _, m := range made {
		s = m.text.ReplaceAllStringFunc(s, func(v string) string {
			if v == "CONFLICT" { // a reason, which looks like a key's id
				return v
			}
			n := slices.Index(p.seen[m.word], v)
			if n < 0 {
				n = len(p.seen[m.word])
				p.seen[m.word] = append(p.seen[m.word], v)
			}
			return fmt.Sprintf("<%s-%d>", m.word, n+1)
		})
	}
	s = times.ReplaceAllString(s, "<time>")
	s = ports.ReplaceAllString(s, "127.0.0.1:<port>")
	return amounts.ReplaceAllString(s, `"$1": <number>`)
}

// real is the reverse of plain: it replaces the words by the values.
func (p *plainer) real(s string) string {
	return known.ReplaceAllStringFunc(s, func(word string) string {
		m := known.FindStringSubmatch(word)
		n, err := strconv.Atoi(m[2])
		if values := p.seen[m[1]]; err == nil && n >= 1 && n <= len(values) {
			return values[n-1]
		}
		return word
	})
}

// exitsCommand runs the commands in a file, one on each line. It prints the output of each,
// and its exit code: `exits FILE`.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: exits FILE")
	}
	var out strings.Builder
	p := newPlainer()
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		code := 0
		if err := ts.Exec("sh", "-c", p.real(line)); err != nil {
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				ts.Fatalf("%s: %v", line, err)
			}
			code = exit.ExitCode()
		}
		fmt.Fprintf(&out, "$ %s\n%s%sexit %d\n", line, p.plain(ts.ReadFile("stdout")), p.plain(ts.ReadFile("stderr")), code)
	}
	dir := strings.ReplaceAll(out.String(), ts.Getenv("WORK"), "$WORK")
	fmt.Fprint(ts.Stdout(), dir)
}

// callsCommand sends the requests in a file to the server on $DATA, one on each line, and
// prints them with their answers: `calls FILE`. A line is METHOD PATH TOKEN BODY. TOKEN is
// the name of a variable, or - for no token. The body may be left out.
func callsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: calls FILE")
	}
	run, ok := datadir.ReadRunFile(filepath.Join(ts.Getenv("DATA"), datadir.RunFileName))
	if !ok {
		ts.Fatalf("no server runs")
	}
	p := newPlainer()
	client := http.Client{Timeout: logtest.Patience}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := append(strings.SplitN(line, " ", 4), "", "")
		r, err := http.NewRequest(words[0], run.HTTP+p.real(words[1]), strings.NewReader(p.real(words[3])))
		ts.Check(err)
		if words[3] != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if words[2] != "-" {
			r.Header.Set("Authorization", "Bearer "+ts.Getenv(words[2]))
		}
		answer, err := client.Do(r)
		ts.Check(err)
		body, err := io.ReadAll(answer.Body)
		ts.Check(errors.Join(err, answer.Body.Close()))
		fmt.Fprintf(ts.Stdout(), "> %s\n< %s\n", line, answer.Status)
		for _, name := range []string{"Content-Type", "Cache-Control", "Allow", "Www-Authenticate", "Retry-After"} {
			for _, v := range answer.Header[name] {
				fmt.Fprintf(ts.Stdout(), "< %s: %s\n", name, v)
			}
		}
		fmt.Fprintf(ts.Stdout(), "%s\n", strings.TrimSuffix(p.plain(string(body)), "\n"))
	}
}
