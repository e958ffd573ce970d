// footman('maven') { sh 'mvn -B verify' }
//
// Runs the steps of the block in another container of the same pod or task, by
// way of `jenkins-agent hold` there. See container.groovy.
def call(String name, Closure body) {
    if (!(name ==~ /[A-Za-z0-9][A-Za-z0-9_.-]{0,62}/)) {
        error "footman: '${name}' is no name of a container"
    }
    withEnv(["FOOTMAN_CONTAINER=${name}"]) {
        body()
    }
}
