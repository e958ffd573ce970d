package awsauth

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
)

// passwdHome looks up a home directory in /etc/passwd, where tools look when
// HOME is not set. os/user would do the same and more.
func passwdHome(uid int) (string, error) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return "", err
	}
	defer f.Close()
	want := strconv.Itoa(uid)
	for s := bufio.NewScanner(f); s.Scan(); {
		if p := strings.Split(s.Text(), ":"); len(p) >= 6 && p[2] == want && p[5] != "" {
			return p[5], nil
		}
	}
	return "", errors.New("no entry in /etc/passwd")
}

func homeOf(env Env) string {
	if h := env("HOME"); h != "" {
		return h
	}
	if h, err := passwdHome(os.Getuid()); err == nil {
		return h
	}
	return "/"
}
