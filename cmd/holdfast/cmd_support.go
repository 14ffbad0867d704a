package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/support"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

func (c *cli) supportCommand() *cobra.Command {
	var logFile string
	cmd := &cobra.Command{
		Use:   "support [FILE]",
		Short: "Write one file for somebody who looks for a fault",
		Long: `Write one file, a tar.gz, that can be sent to somebody who looks for a fault: the end of
the log, the settings, what "holdfast doctor" says, versions, numbers, and what each part
of the running server is doing. Without FILE it is holdfast-support-TIME.tar.gz in this
directory. A file that is there is not replaced.

Secrets, addresses of users and of other nodes, CIDs and names are taken out. The README.txt
in the file says more. Look through it before you send it.

While no server runs, the log is that of systemd's journal, or of --log. Run it as root:
only root can read all of this.`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) > 1 {
				return fmt.Errorf("the argument %q is one too many", given[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			now := time.Now()
			name := "holdfast-support-" + now.UTC().Format("20060102-150405") + ".tar.gz"
			if len(given) > 0 {
				name = given[0]
			}
			return c.writeSupport(cmd.Context(), name, logFile, now)
		},
	}
	cmd.Flags().StringVar(&logFile, "log", "", "file that the log of the server goes to, whose end is put in, too")
	return cmd
}

// writeSupport makes the file. If that fails there is none.
func (c *cli) writeSupport(ctx context.Context, name, logFile string, now time.Time) (err error) {
	// First what root alone can do: the checks may give up root.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hint.Add(fmt.Errorf("write the file: %w", err), "name another file")
	}
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(name) // half of it is of no use
		}
	}()
	gathered := &gathered{missing: map[string]error{}}
	gathered.journal, err = journal(ctx)
	gathered.miss("journal.txt", err)
	if logFile != "" {
		gathered.logFile, err = endOf(logFile)
		if err != nil {
			return err
		}
	}
	p, done, err := c.patient(ctx)
	if err != nil {
		return err
	}
	defer done()
	c.gather(ctx, p, gathered)
	if ctx.Err() != nil {
		return errors.New("interrupted") // what is missing is missing for that
	}
	scrub := support.NewScrubber(gathered.accounts...)
	scrub.Hosts(gathered.hosts...)
	b, err := support.NewBundle(f, scrub, now)
	if err != nil {
		return err
	}
	if err := gathered.write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", name)
	fmt.Fprintln(c.stderr, "holdfast: look through the file before you send it: README.txt in it says what there is")
	return err
}

// gathered is what goes into the file.
type gathered struct {
	missing map[string]error

	version          string
	findings         []doctor.Finding
	settings         []config.Setting
	journal, logFile string
	files            string
	metrics          string
	hosts            []string // names of hosts and of the bucket, to be taken out

	// Of a server that runs.
	accounts  []string // their addresses and ids, to be taken out
	condition *admin.Condition
	support   *admin.Support
	stats     *admin.StoreStats
}

// miss notes that something is missing.
func (g *gathered) miss(name string, err error) {
	if err != nil {
		g.missing[name] = err
	}
}

// statsTime is for counting what a store has: some 50 million links.
const statsTime = time.Minute

// gather asks everybody. What it does not get is missing.
func (c *cli) gather(ctx context.Context, p *doctor.Patient, g *gathered) {
	g.version = versions()
	g.findings = doctor.Look(ctx, p)
	g.condition = p.Server
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(name, ".")
		g.hosts = append(g.hosts, name, short)
	}
	g.hosts = append(g.hosts, hostsIn(config.Values(p.Config))...)
	if p.ConfigErr == nil {
		var err error
		g.settings, err = config.Sources(p.Config, p.ConfigFile, c.environ)
		g.miss("settings.json", err)
	} else {
		g.miss("settings.json", errors.New("the configuration cannot be used; doctor.txt says why"))
	}
	if p.Data == nil {
		return
	}
	var err error
	g.files, err = filesIn(p.Data.Open)
	g.miss("files.txt", p.Data.Explain(err))
	server, ok := daemon.Dial(ctx, p.Data)
	if !ok {
		for _, name := range []string{"condition.json", "log.txt", "goroutines.txt", "running.json", "stats.json", "metrics.txt"} {
			g.miss(name, errors.New("no server runs"))
		}
		return
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(ctx, statsTime)
	defer cancel()
	g.miss("condition.json", p.ServerErr)
	if accounts, err := server.Accounts(ctx); err == nil {
		for _, a := range accounts {
			g.accounts = append(g.accounts, a.Email, a.ID)
		}
	}
	if all, err := server.Support(ctx); err != nil {
		g.miss("log.txt, goroutines.txt, running.json", err)
	} else {
		g.support = &all
		g.hosts = append(g.hosts, hostsIn(all.Settings)...)
	}
	run, _ := datadir.ReadRunFile(p.Data.File(datadir.RunFileName))
	if run.Metrics == "" {
		g.miss("metrics.txt", errors.New("metrics.listen is empty"))
	} else {
		g.metrics, err = fetch(ctx, run.Metrics+"/metrics")
		g.miss("metrics.txt", err)
	}
	if stats, err := server.Stats(ctx); err != nil {
		g.miss("stats.json", err)
	} else {
		stats.Unreadable, stats.Records = nil, nil // lists of what is pinned, and of who pinned it
		g.stats = &stats
	}
}

// hostsIn gives the names of hosts in a configuration, as [config.Values] gives it or JSON of that,
// and the name of the bucket.
func hostsIn(settings any) (hosts []string) {
	var bare struct { // what is no URL
		Domains  []string `json:"http.acme_domains"`
		Hosts    []string `json:"gateway.hosts"`
		Paths    []string `json:"gateway.path_hosts"`
		DNSLinks []string `json:"gateway.dnslink_hosts"`
		To       string   `json:"backup.to"`
	}
	text, err := json.Marshal(settings)
	if err != nil || json.Unmarshal(text, &bare) != nil {
		return nil // of a server of another version
	}
	hosts = slices.Concat(bare.Domains, bare.Hosts, bare.Paths, bare.DNSLinks)
	if u, err := url.Parse(strings.TrimPrefix(bare.To, "s3:")); err == nil && u.Host != "" {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		hosts = append(hosts, bucket)
	}
	for _, found := range hostInURL.FindAllSubmatch(text, -1) {
		hosts = append(hosts, string(found[1]))
	}
	return hosts
}

var hostInURL = regexp.MustCompile(`(?:://(?:[^\s/@"]*@)?|/(?:dns|dns4|dns6|dnsaddr|sni)/)([\w.-]+)`)

// write puts what was gathered into a bundle, and closes it.
func (g *gathered) write(b *support.Bundle) error {
	var text strings.Builder
	for _, f := range g.findings {
		fmt.Fprintf(&text, "%-8s %s: %s\n", f.Level, f.Check, f.Text)
	}
	errs := []error{
		b.Text("version.txt", g.version), b.Text("doctor.txt", text.String()),
		b.Text("journal.txt", g.journal), b.Text("logfile.txt", g.logFile),
		b.Text("files.txt", g.files), b.Text("metrics.txt", g.metrics),
	}
	if g.settings != nil {
		errs = append(errs, b.JSON("settings.json", g.settings))
	}
	if g.condition != nil {
		errs = append(errs, b.JSON("condition.json", g.condition))
	}
	if g.stats != nil {
		errs = append(errs, b.JSON("stats.json", g.stats))
	}
	if g.support != nil {
		errs = append(errs, b.Text("log.txt", g.support.Log), b.Text("goroutines.txt", g.support.Goroutines),
			b.JSON("running.json", g.support.Settings))
	}
	for name, why := range g.missing {
		b.Missing(name, why)
	}
	return errors.Join(append(errs, b.Close())...)
}

// versions names the program, the system and the libraries.
func versions() string {
	var all strings.Builder
	fmt.Fprintln(&all, "holdfast", versionLine())
	if kernel, err := os.ReadFile("/proc/version"); err == nil { // Linux has it
		all.Write(kernel)
	}
	fmt.Fprintln(&all, "processors", runtime.NumCPU())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			fmt.Fprintln(&all, m.Path, m.Version)
		}
	}
	return all.String()
}

// maxLogBytes is how much of a log is put in: what can still be read through.
const maxLogBytes = 4 << 20

// endOf reads the end of a file, from the beginning of a line on.
func endOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read the log: %w", err)
	}
	from := max(0, info.Size()-maxLogBytes)
	b, err := io.ReadAll(io.NewSectionReader(f, from, maxLogBytes))
	if err != nil {
		return "", fmt.Errorf("read the log: %w", err)
	}
	text := string(b)
	if from > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text, nil
}

// journal reads what systemd's journal has of the service. It is "" where there is no journal.
func journal(ctx context.Context) (string, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--unit", "holdfast", "--lines", "5000", "--no-pager", "--no-hostname", "--output", "short-iso").Output()
	if err != nil {
		return "", fmt.Errorf("read the journal: %w", err)
	}
	return string(out[max(0, len(out)-maxLogBytes):]), nil
}

// filesIn lists the files of a data directory, and of the database in it, with their sizes and times.
// Other directories are the operator's own, or have the names of domains.
func filesIn(dir string) (string, error) {
	var all strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(&all, path, err)
			return nil
		}
		if info, err := e.Info(); err == nil {
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UTC().Format(time.RFC3339), info.Mode())
		}
		if e.IsDir() && path != "." && path != "db" {
			return fs.SkipDir
		}
		return nil
	})
	return all.String(), err
}

// fetch reads an answer of this host.
func fetch(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxLogBytes))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the answer is %s", answer.Status)
	}
	return string(b), err
}
