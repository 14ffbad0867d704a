package backup_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/holdfast-ipfs/holdfast/backup"
)

var loadRounds = flag.Int("backup-rounds", 8, "backups that are made and restored under load")

func rounds(testing.TB) int { return *loadRounds }

func newKey(tb testing.TB) *backup.Key {
	id, err := age.GenerateX25519Identity()
	must(tb, err)
	path := filepath.Join(tb.TempDir(), "key")
	must(tb, os.WriteFile(path, []byte("# a comment\n"+id.String()+"\n"), 0o600))
	k, err := backup.ReadKey(path)
	must(tb, err)
	return k
}
