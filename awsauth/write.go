package awsauth

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"
)

// poll notices rotated tokens and changed configs.
func (k *Keeper) poll() {
	err := k.load()
	if msg := fmt.Sprint(err); err != nil && msg != k.loadErr {
		k.log.Warn("config cannot be read; what was read before stays in force", "err", err)
		k.loadErr = msg
	} else if err == nil {
		k.loadErr = ""
	}
	k.mu.Lock()
	var rotated []string
	for file, old := range k.tokens {
		if now, err := readToken(file); err == nil && now != old {
			k.tokens[file] = now
			rotated = append(rotated, file)
			if p := k.plan; p != nil {
				for _, name := range k.tokenNames(p, file, old) {
					k.retired[name] = time.Now().Add(2 * k.t.Poll)
				}
			}
			for _, n := range k.nodes {
				// A refusal may have been the old token's.
				if n.link.Kind == KindWebIdentity && n.link.TokenFile == file && n.err != nil {
					n.final, n.due = false, time.Now().Add(rand.N(k.t.Base))
				}
			}
		}
	}
	k.mu.Unlock()
	for _, f := range rotated {
		k.log.Info("token rotated; cache files renamed to its key", "token", f)
	}
	k.writeAll()
}

// tokenNames are the cache files keyed with one text of a token.
func (k *Keeper) tokenNames(p *Plan, file, text string) []string {
	var keyed, plain []string
	for _, t := range p.Targets {
		if t.Leaf == nil {
			continue
		}
		plain = append(plain, cacheNames(t.Leaf, nil, func(string) string { return "" })...)
		keyed = append(keyed, cacheNames(t.Leaf, k.pod(), func(f string) string {
			if f == file {
				return text
			}
			return ""
		})...)
	}
	return slices.DeleteFunc(keyed, func(n string) bool { return slices.Contains(plain, n) })
}

// pod is the link of the IRSA variables, nil if there is none.
func (k *Keeper) pod() *Link {
	if k.plan.Default != nil && k.plan.Default.Leaf != nil && k.plan.Default.Leaf.Kind == KindWebIdentity {
		return k.plan.Default.Leaf
	}
	return nil
}

// sweep repairs the directories.
func (k *Keeper) sweep() {
	k.writeMu.Lock()
	for _, s := range k.stores {
		for _, name := range s.changed() {
			delete(s.wrote, name)
			k.log.Info("a file was changed by someone else and is written anew", "dir", s.dir.Path, "name", name)
		}
		s.sweep()
	}
	k.writeMu.Unlock()
	k.writeAll()
}

// writeAll brings every directory in line with the state: fresh grants are
// written, files of expired or forgotten ones deleted.
func (k *Keeper) writeAll() {
	k.writeMu.Lock()
	defer k.writeMu.Unlock()
	k.mu.Lock()
	plan := k.plan
	if plan == nil {
		k.mu.Unlock()
		return
	}
	files := map[string][]byte{}
	possible := map[string]bool{}
	for _, t := range plan.Targets {
		n := k.nodeOf(t)
		if n == nil {
			continue
		}
		possible[processName(t.Profile)] = true
		for _, name := range cacheNames(t.Leaf, k.pod(), k.token) {
			possible[name] = true
		}
		if !k.fresh(n) {
			continue
		}
		files[processName(t.Profile)] = processEntry(n.grant, min(k.t.Early, n.grant.life()/3))
		if n.grant.session == "" {
			continue
		}
		for _, name := range cacheNames(t.Leaf, k.pod(), k.token) {
			files[name] = cacheEntry(n.grant)
		}
	}
	now := time.Now()
	for name, until := range k.retired {
		if files[name] != nil || !now.Before(until) {
			delete(k.retired, name)
		}
	}
	retired := make(map[string]bool, len(k.retired))
	for name := range k.retired {
		retired[name] = true
	}
	round := round{plan, files, possible, retired}
	k.mu.Unlock()

	for _, s := range k.stores {
		err := k.writeDir(s, round)
		msg := ""
		if err != nil {
			msg = err.Error()
		}
		k.mu.Lock()
		if k.dirErrs[s.dir.Path] != msg && err != nil {
			k.log.Error("directory cannot be written", "dir", s.dir.Path, "err", err)
		}
		k.dirErrs[s.dir.Path] = msg
		k.mu.Unlock()
	}
}

// round is what one pass of writing is to bring about.
type round struct {
	plan     *Plan
	files    map[string][]byte // to be there, with this content
	possible map[string]bool   // names of wanted profiles, fresh or not
	retired  map[string]bool   // to stay a little longer
}

func (k *Keeper) writeDir(s *store, r round) error {
	if err := s.open(); err != nil {
		return err
	}
	if !s.ours(configName) {
		return fmt.Errorf("awsauth: %s/%s is not ours and stays; remove it or use another directory", s.dir.Path, configName)
	}
	mine := k.written[s]
	if s.adopted == nil {
		// A predecessor (an init container, an agent that was restarted) left a
		// list of what it wrote. Its files serve until they expire.
		s.adopted = map[string]time.Time{}
		for _, name := range readStatusFiles(s) {
			mine[name] = true
			if data, err := s.read(name); err == nil {
				s.adopted[name] = expiryOf(data)
			}
		}
	}
	for _, name := range sortedKeys(r.files) {
		if err := s.put(name, r.files[name]); err != nil {
			return err
		}
		mine[name] = true
		delete(s.adopted, name)
	}
	for name := range mine {
		adopted := r.possible[name] && time.Now().Before(s.adopted[name])
		if r.files[name] == nil && !r.retired[name] && !adopted {
			s.remove(name)
			delete(mine, name)
		}
	}
	config := generatedConfig(r.plan, s.dir, k.o.ProcessCommand)
	if err := s.put(configName, config); err != nil {
		return err
	}
	if k.o.WriteConfig {
		if s.ours(userConfig) {
			if err := s.put(userConfig, config); err != nil {
				return err
			}
		} else {
			s.once("userconfig", slog.LevelWarn, "config is the user's and stays; mount the ConfigMap elsewhere and give it with --config", "name", userConfig)
		}
	}
	return s.put(statusName, k.statusFile(sortedKeys(mine)))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for n := range m {
		keys = append(keys, n)
	}
	slices.Sort(keys)
	return keys
}

// token returns the text of a token file as last read, reading it if needed.
func (k *Keeper) token(file string) string {
	if t, ok := k.tokens[file]; ok {
		return t
	}
	t, err := readToken(file)
	if err != nil {
		return ""
	}
	k.tokens[file] = t
	return t
}

// cleanName guards what is read back from a status file: only our own kinds of
// names, so that a forged list cannot make us delete anything else.
func cleanName(name string) bool {
	dir, base := path.Split(name)
	switch strings.TrimSuffix(dir, "/") {
	case cacheDir:
		return isCacheName(base)
	case agentDir:
		return strings.HasSuffix(base, ".json") && !strings.HasPrefix(base, ".") && name != statusName
	}
	return false
}
