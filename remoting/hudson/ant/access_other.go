//go:build !unix

package ant

import "os"

// readable is File.canRead, which elsewhere means that it can be opened.
func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
