package psa

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

// Clients that do not read what they asked for have a bounded number of large answers
// made, one of each account, and keep nobody from short ones.
func TestLargeAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 12 << 20 // with what is added, four are all there is room for
		a := newAnswers()
		made, held, sent := 0, 0, 0
		read := make(chan struct{})
		ask := func(account string, size int) {
			go func() {
				err := a.send(t.Context(), account, func() ([]byte, error) {
					made++
					return make([]byte, size), nil
				}, func(body []byte) error {
					held += len(body)
					if size > largeAnswer {
						<-read
					}
					held -= len(body)
					sent++
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait() // so that one runs at a time
		}
		for n := range 20 {
			ask(fmt.Sprint(n%10), size)
		}
		if held != 4*size || sent != 0 {
			t.Errorf("%d MiB are held", held>>20)
		}
		if made != 20+4 {
			t.Errorf("%d answers were made, want each of 20 once, and those again that are held", made)
		}
		ask("0", 1000)
		ask("another", largeAnswer)
		if sent != 2 {
			t.Errorf("%d short answers were sent, want both", sent)
		}
		for range 20 {
			read <- struct{}{}
			synctest.Wait()
			if held > 4*size {
				t.Errorf("%d MiB are held", held>>20)
			}
		}
		if sent != 22 || held != 0 || len(a.busy) > 0 {
			t.Errorf("%d were sent, %d bytes are held, %d accounts are busy", sent, held, len(a.busy))
		}
		// One that is larger than all there is room for is sent all the same.
		ask("0", maxLarge+1)
		read <- struct{}{}
		synctest.Wait()
		if sent != 23 {
			t.Error("an answer beyond the bound is not sent")
		}
	})
}

// A client that gives up while it waits leaves its turn to others. An answer that cannot be
// made is an error before anything is sent.
func TestLargeAnswersThatEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		large := func() ([]byte, error) { return make([]byte, 2*largeAnswer), nil }
		read := make(chan struct{})
		go func() { _ = a.send(t.Context(), "0", large, func([]byte) error { <-read; return nil }) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		never := func([]byte) error { t.Error("it was sent"); return nil }
		if err := a.send(ctx, "0", large, never); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		errMake := errors.New("no such thing")
		if err := a.send(t.Context(), "1", func() ([]byte, error) { return nil, errMake }, never); !errors.Is(err, errMake) {
			t.Errorf("error %v", err)
		}
		close(read)
		synctest.Wait()
		if !a.large.TryAcquire(maxLarge) || !a.making.TryAcquire(longLists) || len(a.busy) > 0 {
			t.Error("something is still taken")
		}
	})
}
