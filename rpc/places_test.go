package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// crowd is uploads that run and wait, of accounts.
type crowd struct {
	t      *testing.T
	places *places
	lines  logtest.Lines
}

// send is an upload in a crowd.
type send struct {
	account string
	pace    pace
	leave   func()
	ended   chan error // has why it has to give way
	begun   chan error // has whether it runs
	took    time.Duration
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t}
	c.places = newPlaces(allRun, accountRuns, slog.New(slog.NewTextHandler(&c.lines, nil)))
	return c
}

// begin has an upload run or wait.
func (c *crowd) begin(ctx context.Context, account string) *send {
	s := &send{account: account, ended: make(chan error, 1), begun: make(chan error, 1)}
	start := time.Now()
	go func() {
		leave, err := c.places.begin(ctx, account, &s.pace, func(why error) { s.ended <- why })
		s.leave, s.took = leave, time.Since(start)
		s.begun <- err
	}()
	synctest.Wait()
	return s
}

// fill has uploads of accounts run, as many of each as may.
func (c *crowd) fill(each int) (all []*send) {
	for i := range allRun {
		all = append(all, c.run(fmt.Sprint(i/each)))
	}
	return all
}

func (c *crowd) run(account string) *send {
	c.t.Helper()
	s := c.begin(c.t.Context(), account)
	if !s.runs() {
		c.t.Fatalf("an upload of %s does not run", account)
	}
	return s
}

func (s *send) runs() bool {
	select {
	case err := <-s.begun:
		return err == nil
	default:
		return false
	}
}

// moves has the client of an upload send for some time.
func (s *send) moves(bytes int, over time.Duration) {
	s.pace.wait()
	time.Sleep(over)
	s.pace.got(bytes)
}

// gaveWay gives the uploads that were ended, and has them leave.
func gaveWay(all []*send) (some []*send) {
	for _, s := range all {
		select {
		case <-s.ended:
			some = append(some, s)
			s.leave()
		default:
		}
	}
	return some
}

func (c *crowd) isEmpty() {
	c.t.Helper()
	if len(c.places.running)+len(c.places.waiting) != 0 {
		c.t.Errorf("%d uploads run, and %d wait", len(c.places.running), len(c.places.waiting))
	}
}

// So many uploads run at a time, of an account and of all; others wait, or give up.
func TestUploadsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		alice := c.fill(accountRuns)[:accountRuns]
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := c.begin(ctx, "0")
		again, bob := c.begin(t.Context(), "0"), c.begin(t.Context(), "bob")
		if gaveUp.runs() || again.runs() || bob.runs() {
			t.Fatal("more uploads run than may")
		}
		cancel()
		synctest.Wait()
		if err := <-gaveUp.begun; !errors.Is(err, context.Canceled) {
			t.Errorf("an upload that gave up: %v", err)
		}
		alice[0].leave()
		synctest.Wait()
		if !bob.runs() || again.runs() { // who has none comes first
			t.Error("the place goes to the account that has more")
		}
		alice[1].leave()
		synctest.Wait()
		if !again.runs() {
			t.Error("a place is free, and nobody gets it")
		}
	})
}

// An upload that gets no turn is refused, and leaves nothing behind.
func TestUploadGetsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		var all []*send
		for i := range allRun { // of as many accounts, and none is slow
			if i == accountRuns {
				own := c.begin(t.Context(), "0")
				refuses(t, own, "the account's uploads")
			}
			all = append(all, c.run(fmt.Sprint(max(0, i-accountRuns+1))))
		}
		all[0].leave()
		all[0] = c.run("z")
		for _, s := range all[1:accountRuns] { // one of each account is left
			s.leave()
		}
		for i := range accountRuns - 1 {
			all[1+i] = c.run(fmt.Sprint("y", i))
		}
		refuses(t, c.begin(t.Context(), "x"), "other uploads")
		if some := gaveWay(all); len(some) > 0 {
			t.Errorf("%d uploads gave way, of accounts with one", len(some))
		}
		for _, s := range all {
			s.leave()
		}
		c.isEmpty()
	})
}

func refuses(t *testing.T, s *send, part string) {
	t.Helper()
	err := <-s.begun
	var f *failure
	if !errors.As(err, &f) || f.status != http.StatusTooManyRequests || f.retryAfter == 0 || !strings.Contains(f.message, part) {
		t.Errorf("an upload without a turn: %v", err)
	}
	if s.took != turnWait {
		t.Errorf("it waited %v", s.took)
	}
}

// Accounts that have all places lose some when others come, each no more than so that they share. Of an
// account the upload ends of which the least came, however fast it is.
func TestPlacesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		all := c.fill(accountRuns)
		for i, s := range all {
			go s.moves(100<<20+i%accountRuns, slowOver)
		}
		time.Sleep(2 * slowOver)
		if len(gaveWay(all)) > 0 {
			t.Fatal("an upload gave way to nobody")
		}
		var came []*send
		for i := range 20 {
			one := c.begin(t.Context(), fmt.Sprint("new", i%2))
			came = append(came, one)
		}
		time.Sleep(waitTurn)
		synctest.Wait()
		first := gaveWay(all)
		synctest.Wait()
		for range 30 {
			time.Sleep(lookTurn)
			synctest.Wait()
			first = append(first, gaveWay(all)...)
			first = append(first, gaveWay(came)...)
			synctest.Wait()
		}
		of, lost := map[string]int{}, map[string]int{}
		for _, r := range c.places.running {
			of[r.account]++
		}
		for _, s := range first {
			if n := lost[s.account]; s.pace.all != int64(100<<20+n) {
				t.Errorf("upload %d that account %s loses is not the one of which the least came", n, s.account)
			}
			lost[s.account]++
		}
		for account, n := range of {
			if n < 6 || n > accountRuns { // 96 places, 14 accounts
				t.Errorf("account %s has %d places in the end", account, n)
			}
		}
		if of["new0"] < 6 || of["new1"] < 6 || len(first) > 14 {
			t.Errorf("the new accounts have %d and %d places, and %d uploads were ended", of["new0"], of["new1"], len(first))
		}
	})
}

// A slow upload ends when another account waits that has fewer, and goes on as long as nobody does.
func TestSlowUploadGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		all := c.fill(1)
		for i, s := range all {
			rate := slowRate * 5 / 4
			if i == 7 {
				rate = slowRate * 3 / 4
			}
			go func() {
				for range 200 { // seconds, which are longer than the test
					s.moves(rate, time.Second)
				}
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(gaveWay(all)) > 0 {
			t.Fatal("a slow upload gave way to nobody")
		}
		one := c.begin(t.Context(), "new")
		time.Sleep(waitTurn)
		synctest.Wait()
		some := gaveWay(all)
		synctest.Wait()
		if len(some) != 1 || some[0] != all[7] || !one.runs() || one.took > 5*time.Second {
			t.Errorf("%d uploads gave way, and the one that came began after %v", len(some), one.took)
		}
		if found := c.lines.String(); !strings.Contains(found, "level=INFO") || !strings.Contains(found, "slow=true") || !strings.Contains(found, "for=new") {
			t.Errorf("the log has %q", found)
		}
		other := c.begin(t.Context(), "newer")
		<-other.begun
		if len(gaveWay(all)) > 0 {
			t.Error("one that is not slow gave way to an account with as many")
		}
		time.Sleep(2 * time.Minute)
	})
}

// Accounts that send slowly take all places, by either version of HTTP, with bodies that hardly come or
// answers that are hardly read. Another account gets in soon, and the one that gives way learns why.
func TestSlowUploadsByHTTP(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			w.pinAll()
			synctest.Test(t, func(t *testing.T) {
				server, newClient := w.serveHTTP(t, version)
				defer server.Close()
				add := func(account string, body io.Reader, contentType string) (int, string) {
					client := newClient()
					defer client.CloseIdleConnections()
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://within/api/v0/add", body)
					if err != nil {
						t.Error(err)
						return 0, ""
					}
					r.Header.Set("Authorization", "Bearer "+account)
					r.Header.Set("Content-Type", contentType)
					res, err := client.RoundTrip(r)
					if err != nil {
						return 0, err.Error()
					}
					defer res.Body.Close()
					got, _ := io.ReadAll(res.Body)
					return res.StatusCode, string(got)
				}
				type told struct {
					status int
					text   string
				}
				contentType, whole := form(part{name: "f", kind: aFile, content: strings.Repeat("x", 10<<20)})
				tolds := make(chan told, allRun)
				over := make(chan struct{})
				for i := range allRun {
					body, to := io.Pipe()
					go func() {
						defer to.Close()
						for sent := 0; ; sent += 2 << 10 { // more than the server asks for, and slow
							if _, err := to.Write(whole[sent : sent+2<<10]); err != nil {
								return
							}
							select {
							case <-time.After(time.Second):
							case <-over:
								to.CloseWithError(io.ErrUnexpectedEOF)
								return
							}
						}
					}()
					go func() {
						status, text := add(fmt.Sprint("slow", i/accountRuns), body, contentType)
						tolds <- told{status, text}
					}()
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if len(tolds) > 0 {
					t.Fatalf("a slow upload ends while nobody waits: %v", <-tolds)
				}
				contentType2, small := form(part{name: "g", kind: aFile, content: "y"})
				start := time.Now()
				status, text := add("bob", strings.NewReader(string(small)), contentType2)
				if took := time.Since(start); status != http.StatusOK || took > 10*time.Second {
					t.Errorf("another account's upload answers %d %s after %v", status, text, took)
				}
				if one := <-tolds; one.status != http.StatusTooManyRequests || !strings.Contains(one.text, "all 96 places for uploads are taken") {
					t.Errorf("the one that gave way is answered %d %s", one.status, one.text)
				}
				time.Sleep(time.Minute)
				if len(tolds) > 0 {
					t.Errorf("%d uploads more gave way than had to", len(tolds))
				}
				close(over)
				for range allRun - 1 {
					<-tolds
				}
			})
		})
	}
}
