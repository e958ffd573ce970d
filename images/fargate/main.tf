# A task definition for the amazon-ecs plugin ("task definition override"), and
# what it needs. The plugin brings the command itself: it sends
#   -url URL [-tunnel H:P] [-webSocket] SECRET NAME      or the same as JENKINS_*
# and both are understood.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "image" {
  type        = string
  description = "footman/agent in a registry that the task can reach"
}

variable "execution_role_arn" {
  type        = string
  description = "pulls the image and writes the log"
}

variable "task_role_arn" {
  type        = string
  description = "what builds may do in AWS"
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

resource "aws_cloudwatch_log_group" "agents" {
  name              = "/jenkins/agents"
  retention_in_days = 14
}

resource "aws_ecs_task_definition" "agent" {
  family                   = "jenkins-agent"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume {
    name = "agent"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name                   = "jenkins-agent"
    image                  = var.image
    essential              = true
    user                   = "1000"
    readonlyRootFilesystem = true
    stopTimeout            = 120 # Fargate's most; a spot task gets SIGTERM two minutes ahead
    environment = [
      { name = "JENKINS_AGENT_WORKDIR", value = "/home/jenkins/agent" },
      { name = "JENKINS_AGENT_HTTP", value = "127.0.0.1:8099" },
      { name = "REMOTING_OPTS", value = "-drainTimeout 105s" },
    ]
    healthCheck = {
      command     = ["CMD", "/usr/local/bin/jenkins-agent", "health"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 10
    }
    mountPoints = [
      { sourceVolume = "agent", containerPath = "/home/jenkins/agent" },
      { sourceVolume = "tmp", containerPath = "/tmp" },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.agents.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "fargate"
      }
    }
  }])
}

output "task_definition" {
  value = aws_ecs_task_definition.agent.arn
}
