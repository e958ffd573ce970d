// container('maven') { sh 'mvn -B verify' }
//
// Runs the steps of the block in another container of the same pod or task, on
// nodes that the kubernetes plugin does not know: Fargate, ECS, EC2 with docker.
// That container runs `jenkins-agent hold` and is called by the name it was given
// (FOOTMAN_CONTAINER_NAME). On nodes of the kubernetes plugin its own step of the
// same name goes on working; footman(…) from this library is the same as this one
// and has no twin.
//
// Steps that launch programs (sh, and tools that plugins launch) go to the
// container; steps about files (readFile, stash, …) stay with the agent, which
// sees the same volume.
def call(String name, Closure body) {
    if (!(name ==~ /[A-Za-z0-9][A-Za-z0-9_.-]{0,62}/)) {
        error "container: '${name}' is no name of a container"
    }
    withEnv(["FOOTMAN_CONTAINER=${name}"]) {
        body()
    }
}
