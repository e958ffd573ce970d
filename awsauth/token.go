package awsauth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxTokenBytes bounds a token file; STS itself takes 20 000 characters.
const maxTokenBytes = 64 << 10

// readLimited reads a whole small file, an error if it is larger than limit. A
// pipe planted in a shared directory neither blocks it nor is read.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Mode()&(os.ModeDir|os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0 && name != os.DevNull {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return b, err
}

// readToken returns the exact text of a token file.
func readToken(name string) (string, error) {
	b, err := readLimited(name, maxTokenBytes)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("the token %s is not readable by uid %d: set fsGroup in the pod's securityContext", name, os.Getuid())
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("the token %s is not there: the pod needs a serviceAccountName whose account has eks.amazonaws.com/role-arn", name)
	case err != nil:
		return "", fmt.Errorf("the token: %w", err)
	case strings.TrimSpace(string(b)) == "":
		return "", fmt.Errorf("the token %s is empty", name)
	}
	return string(b), nil
}
