package awsauth

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"time"
)

// changed lists which of our files another program replaced, altered or
// removed since we wrote them.
func (s *store) changed() []string {
	if s.root == nil {
		return nil
	}
	var names []string
	for name, was := range s.wrote {
		if st, err := s.root.Lstat(name); err != nil || stampOf(st) != was {
			names = append(names, name)
		}
	}
	return names
}

// isCacheName reports whether the CLI could have made a file of this name.
func isCacheName(base string) bool {
	sum, ok := strings.CutSuffix(base, ".json")
	return ok && len(sum) == 40 && strings.Trim(sum, "0123456789abcdef") == ""
}

// sweep removes what would break a tool: cache files of others that are empty
// or not JSON (the CLI dies on them) once they stayed so between two sweeps,
// since CLI v2 writes in place, and temp files of an agent that was killed.
// Everything else in the cache belongs to others and stays.
func (s *store) sweep() (removed []string) {
	if s.root == nil {
		return nil
	}
	seen := map[string]stamp{}
	for _, dir := range []string{cacheDir, agentDir} {
		f, err := s.root.Open(dir)
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(4096)
		f.Close()
		for _, base := range names {
			name := path.Join(dir, base)
			st, err := s.root.Lstat(name)
			if err != nil || !st.Mode().IsRegular() {
				continue
			}
			now := stampOf(st)
			stale := false
			switch {
			case strings.HasPrefix(base, tempPrefix):
				stale = true
			case dir == cacheDir && isCacheName(base) && s.wrote[name] == (stamp{}) && st.Size() <= maxForeign:
				data, err := s.read(name)
				stale = err == nil && !validCacheEntry(data)
				if errors.Is(err, fs.ErrPermission) {
					s.once("foreign "+name, slog.LevelInfo, "a cache file of another user cannot be read; it is none of the configured profiles and stays", "name", name, "mode", st.Mode().String())
				}
			}
			if !stale {
				continue
			}
			if s.bad[name] != now {
				seen[name] = now
				continue
			}
			s.remove(name)
			removed = append(removed, name)
			s.log.Warn("removed a broken file that would make the AWS CLI fail", "name", name, "size", st.Size())
		}
	}
	s.bad = seen
	return removed
}

func validCacheEntry(data []byte) bool {
	var v struct{ Credentials struct{ Expiration string } }
	return json.Unmarshal(data, &v) == nil && v.Credentials.Expiration != ""
}

// expiryOf reads the expiry of either form of file, zero if it has none.
func expiryOf(data []byte) time.Time {
	var v struct {
		Expiration  string
		Credentials struct{ Expiration string }
	}
	_ = json.Unmarshal(data, &v) // zero then, too
	for _, s := range []string{v.Credentials.Expiration, v.Expiration} {
		if t, err := time.Parse(time.RFC3339, strings.Replace(s, "UTC", "Z", 1)); err == nil {
			return t
		}
	}
	return time.Time{}
}
