package space

import (
	"fmt"
	"strings"

	golog "github.com/ipfs/go-log/v2"
)

// Badger answers a write with no error although the value log was not synced, and
// writes its memory to a table in the background, again and again if that fails. It
// logs both, and tells nobody. It logs the first before it answers the write. So it is
// listened to what it logs. The texts are those of Badger v4.9; tests make both fail,
// and so notice if a later version has others.
const (
	logUnsynced  = "Error while curlf sync"
	logUnflushed = "error flushing memtable to disk"
)

// badgerLogger is there before main says where go-log's messages go: go-log complains on
// standard error of loggers that are made later, unless all of theirs is logged.
var badgerLogger = golog.Logger("badger4")

// badgerLog takes Badger's messages, which go to go-log as "badger4".
type badgerLog struct {
	to *golog.ZapEventLogger
	// unsynced is called when the value log was not synced, before any write is
	// answered whose values that are, by the one goroutine that writes.
	unsynced func(error)
	// unflushed is called when memory was not written to a table.
	unflushed func(error)
}

func (s *Space) badgerLog() badgerLog {
	return badgerLog{
		to:        badgerLogger,
		unsynced:  s.noteUnsynced,
		unflushed: s.noteUnflushed,
	}
}

// noteUnflushed is told when Badger did not write its memory to a table. It tries again
// after a second, and holds up those who write when it has too much in memory.
func (s *Space) noteUnflushed(err error) {
	s.fails(fmt.Errorf("write memory to a table: %w", err))
}

func (l badgerLog) Errorf(format string, args ...any) {
	l.to.Errorf(format, args...)
	for _, arg := range args {
		err, ok := arg.(error)
		switch {
		case !ok:
		case strings.HasPrefix(format, logUnsynced):
			l.unsynced(err)
		case strings.HasPrefix(format, logUnflushed):
			l.unflushed(err)
		}
	}
}

func (l badgerLog) Warningf(format string, args ...any) { l.to.Warnf(format, args...) }
func (l badgerLog) Infof(format string, args ...any)    { l.to.Infof(format, args...) }
func (l badgerLog) Debugf(format string, args ...any)   { l.to.Debugf(format, args...) }
