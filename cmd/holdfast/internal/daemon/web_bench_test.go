package daemon

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// What the dashboard may cost, with 100,000 pins in an account and 50 pages open.
const (
	benchPins      = 100_000
	benchPages     = 50
	pageTarget     = 50 * time.Millisecond // a page of the list, at the median
	memoryTarget   = 64 << 10              // bytes an open page
	weightTarget   = 150 << 10             // bytes of a page with all its files, compressed
	benchPageViews = 100
	// liveTarget is the processor time that an open page takes in a second while all of it moves:
	// 50 such pages take a quarter of a core. The time is of the whole process, with the browsers'
	// side of the connections.
	liveTarget = 5 * time.Millisecond
	benchLive  = 10 * time.Second // for how long that is measured
)

// BenchmarkDashboard measures pages of the list over a store on disk, and what an open page
// keeps in memory.
func BenchmarkDashboard(b *testing.B) {
	const email, password = "anna@example.org", "correct horse battery"
	a := testAPIWith(b, testConfig(), new(logtest.Lines), slog.LevelError)
	account, err := a.auth.AddAccount(b.Context(), auth.NewAccount{Email: email, Password: password})
	if err != nil {
		b.Fatal(err)
	}
	addMany(b, a.pins, account.ID)
	h, err := a.handler()
	if err != nil {
		b.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := httpd.NewServer(h, a.log)
	go s.Serve(l) // until it is closed
	b.Cleanup(func() { s.Close() })
	base := "http://" + l.Addr().String()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(base+"/ui/signin", url.Values{"email": {email}, "password": {password}})
	if err != nil || len(res.Cookies()) == 0 {
		b.Fatal(res, err)
	}
	res.Body.Close()
	session := res.Cookies()[0]
	get := func(path string) string {
		b.Helper()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.AddCookie(session)
		res, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatalf("%s answers %d, %v: %.300s", path, res.StatusCode, err, body)
		}
		return string(body)
	}
	older := regexp.MustCompile(`href="([^"]+)"[^>]*>Older<`)
	first := get("/ui/pins")
	twentieth := "/ui/pins"
	for range 19 {
		m := older.FindStringSubmatch(get(twentieth))
		if m == nil {
			b.Fatal("there is no older page")
		}
		twentieth = strings.ReplaceAll(m[1], "&amp;", "&")
	}
	live := strings.ReplaceAll(regexp.MustCompile(`data-live="([^"]+)"`).FindStringSubmatch(first)[1], "&amp;", "&")

	before := inUse()
	for range benchPages {
		c, err := new(net.Dialer).DialContext(b.Context(), "tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s=%s\r\nAccept: text/event-stream\r\n\r\n", live, l.Addr(), session.Name, session.Value)
		if _, err := io.ReadFull(c, make([]byte, 2<<10)); err != nil { // it has begun
			b.Fatal(err)
		}
		go io.Copy(io.Discard, c) // ends with c
	}
	memory := (inUse() - before) / benchPages

	used := processorTime(b)
	time.Sleep(benchLive) // the pages look once a second
	moving := (processorTime(b) - used) / benchPages / time.Duration(benchLive/time.Second)

	for b.Loop() {
		for name, path := range map[string]string{"first": "/ui/pins", "20th": twentieth} {
			var took []time.Duration
			for range benchPageViews {
				begin := time.Now()
				get(path)
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			median := took[len(took)/2]
			b.ReportMetric(float64(median)/1e6, name+"-ms")
			if median > pageTarget {
				b.Errorf("the %s page takes %s, and is to take %s", name, median, pageTarget)
			}
		}
	}
	weight := compressed(b, first)
	for _, file := range regexp.MustCompile(`(?:href|src)="(/ui/static/[^"]+)"`).FindAllStringSubmatch(first, -1) {
		weight += compressed(b, get(strings.ReplaceAll(file[1], "&amp;", "&")))
	}
	b.ReportMetric(float64(memory)/1024, "KiB/page")
	b.ReportMetric(float64(moving)/1e6, "live-cpu-ms/page/s")
	if moving > liveTarget {
		b.Errorf("an open page takes %s of a processor each second, and is to take %s", moving, liveTarget)
	}
	b.ReportMetric(float64(weight)/1024, "KiB-weight")
	if memory > memoryTarget {
		b.Errorf("an open page takes %d bytes of memory, and is to take %d", memory, memoryTarget)
	}
	if weight > weightTarget {
		b.Errorf("a page weighs %d bytes, and is to weigh %d", weight, weightTarget)
	}
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inUse is the memory in use, with the stacks.
func inUse() int {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

func compressed(b *testing.B, text string) int {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.WriteString(w, text); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return buf.Len()
}

// addMany gives an account benchPins pins.
func addMany(b *testing.B, pins interface {
	Add(context.Context, string, pin.Spec) (pin.View, error)
}, account string) {
	const clients = 64
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			for i := n; i < benchPins; i += clients {
				hash, err := multihash.Sum(fmt.Appendf(nil, "pin %d", i), multihash.SHA2_256, -1)
				if err != nil {
					b.Error(err)
					return
				}
				c := cid.NewCidV1(cid.Raw, hash)
				s := pin.Spec{CID: c.String(), Root: c, Name: fmt.Sprintf("backup of host %d", i%100), Meta: map[string]string{"host": fmt.Sprint(i % 1000)}}
				for {
					_, err = pins.Add(b.Context(), account, s)
					if err == nil || !errors.Is(err, pin.ErrTooFast) {
						break
					}
					time.Sleep(time.Millisecond) // the bench waits for its own load
				}
				if err != nil {
					b.Errorf("add a pin: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}
