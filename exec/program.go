package exec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// searchPath is where programs without a slash are looked for. Java takes the
// agent's own PATH at its start, never the child's (measured with JDK 17), and
// the default below when PATH is unset; an empty PATH is the child's directory.
var searchPath = func() string {
	if p, ok := os.LookupEnv("PATH"); ok {
		return p
	}
	return "/bin:/usr/bin"
}()

// startProgram starts argv as the JDK's execvpe does: along searchPath, going on
// after errors that mean "not this one", with /bin/sh for a file that is neither
// binary nor has a shebang. Errors carry the syscall.Errno to report.
func startProgram(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	name := argv[0]
	if name == "" {
		return nil, syscall.ENOENT
	}
	if strings.Contains(name, "/") {
		return startFile(name, argv, attr)
	}
	refused := error(syscall.ENOENT)
	for _, dir := range strings.Split(searchPath, ":") {
		file := name
		switch {
		case strings.HasSuffix(dir, "/"):
			file = dir + name
		case dir != "":
			file = dir + "/" + name
		}
		// A look before the fork saves one per directory of the path.
		err := lookAt(file, attr.Dir)
		if err == nil {
			var p *os.Process
			if p, err = startFile(file, argv, attr); err == nil {
				return p, nil
			}
		}
		switch {
		case errors.Is(err, syscall.EACCES):
			refused = err
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP),
			errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ETIMEDOUT):
		default:
			return nil, err
		}
	}
	return nil, refused
}

func lookAt(file, dir string) error {
	if !filepath.IsAbs(file) && dir != "" {
		file = filepath.Join(dir, file)
	}
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}

func startFile(file string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	p, err := os.StartProcess(file, argv, attr)
	if errors.Is(err, syscall.ENOEXEC) {
		sh := append([]string{"/bin/sh", file}, argv[1:]...)
		p, err = os.StartProcess(sh[0], sh, attr)
	}
	// os.StartProcess checks the directory itself when the start failed and
	// replaces the reason; the errno inside is what counts.
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return p, err
}
