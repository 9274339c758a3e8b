//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package flags

import (
	"context"
	"fmt"
	"io/fs"
	"os"
)

// lockFile says that there are no locks here that end with their process.
func lockFile(context.Context, string) (unlock func(), err error) {
	return nil, fmt.Errorf("%w: this system has no lock of files", ErrReadOnly)
}

func keepOwner(*os.File, fs.FileInfo) error { return nil }

// mayReplace leaves it to lockFile to say.
func (*fileWriter) mayReplace() error { return nil }
