package space

import (
	"fmt"
	"strings"

	golog "github.com/ipfs/go-log/v2"
)

// When the sync of the value log fails, Badger logs that, and returns no error from the write.
// When it fails to write its memory to a table, which it does in the background, it logs that and
// tries again, without end. So we listen to its log. It logs the first before it answers the
// write. These are the texts of Badger v4.9. Tests make both fail, and so notice other texts.
const (
	logUnsynced  = "Error while curlf sync"
	logUnflushed = "error flushing memtable to disk"
)

// badgerLogger is made before main configures go-log: for loggers that are made later go-log
// prints a complaint on standard error, unless all levels are logged.
var badgerLogger = golog.Logger("badger4")

// badgerLog passes Badger's messages on to go-log, as "badger4".
type badgerLog struct {
	to *golog.ZapEventLogger
	// unsynced is called when the sync of the value log failed, by Badger's goroutine that
	// writes, before it answers the writes that were to be synced.
	unsynced func(error)
	// unflushed is called when memory could not be written to a table.
	unflushed func(error)
}

func (s *Space) badgerLog() badgerLog {
	return badgerLog{
		to:        badgerLogger,
		unsynced:  s.noteUnsynced,
		unflushed: s.noteUnflushed,
	}
}

// noteUnflushed is called when Badger could not write its memory to a table. Badger tries again
// after a second, and blocks writers once it has too much in memory.
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
