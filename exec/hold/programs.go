package hold

// ShellPrograms are what the program jenkins-shell stands in for where a
// container has none of that name.
var ShellPrograms = []string{"sh", "bash", "dash", "ash", "nohup"}
