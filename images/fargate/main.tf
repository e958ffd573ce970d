# ECS for the plugin amazon-ecs: a cluster with Fargate and Fargate Spot, roles,
# and the task definition for "Task Definition Override" of a template. The
# plugin brings the command itself and knows no WebSocket:
#   -url URL [-tunnel HOST:PORT] SECRET NAME
# so that JENKINS_WEB_SOCKET below chooses it; with a tunnel, take that out.
#
#   terraform init && terraform apply -var image=… -var 'subnets=["subnet-…"]' -var vpc=vpc-…
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

variable "vpc" {
  type        = string
  description = "where the tasks run"
}

variable "subnets" {
  type        = list(string)
  description = "private subnets with a way to Jenkins, to the registry and to CloudWatch Logs"
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "cpu_architecture" {
  type    = string
  default = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "ARM64 or X86_64: the image has both."
  }
}

provider "aws" {
  region = var.region
}

resource "aws_ecs_cluster" "agents" {
  name = "jenkins-agents"
}

resource "aws_ecs_cluster_capacity_providers" "agents" {
  cluster_name       = aws_ecs_cluster.agents.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE_SPOT"
    weight            = 1
  }
}

resource "aws_cloudwatch_log_group" "agents" {
  name              = "/jenkins/agents"
  retention_in_days = 14
}

# Agents listen to nobody.
resource "aws_security_group" "agents" {
  name        = "jenkins-agents"
  description = "Jenkins agents on Fargate: out only"
  vpc_id      = var.vpc

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# Pulls the image and writes the log.
resource "aws_iam_role" "execution" {
  name               = "jenkins-agent-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

# What builds may do in AWS; nothing yet.
resource "aws_iam_role" "task" {
  name               = "jenkins-agent-task"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_ecs_task_definition" "agent" {
  family                   = "jenkins-agent"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  volume {
    name = "home"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([
    # The first is the plugin's, unless a template names its container.
    {
      name                   = "jenkins-agent"
      image                  = var.image
      essential              = true
      user                   = "1000"
      readonlyRootFilesystem = true
      dependsOn              = [{ containerName = "volumes", condition = "SUCCESS" }]
      stopTimeout            = 120 # Fargate's most; a spot task gets SIGTERM two minutes ahead
      environment = [
        { name = "JENKINS_AGENT_WORKDIR", value = "/home/jenkins/agent" },
        { name = "JENKINS_WEB_SOCKET", value = "true" },
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
        { sourceVolume = "home", containerPath = "/home/jenkins" },
        { sourceVolume = "tmp", containerPath = "/tmp" },
      ]
      linuxParameters = {
        initProcessEnabled = false # the agent reaps, and has to be told of SIGTERM
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.agents.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "fargate"
        }
      }
    },
    # Fargate makes volumes for root, 0755, where the image declares none.
    {
      name                   = "volumes"
      image                  = var.image
      essential              = false
      user                   = "0"
      readonlyRootFilesystem = true
      workingDirectory       = "/"
      entryPoint             = ["/bin/sh", "-c"]
      command                = ["mkdir -p /home/jenkins/agent && chown 1000:1000 /home/jenkins /home/jenkins/agent && chmod 1777 /tmp"]
      mountPoints = [
        { sourceVolume = "home", containerPath = "/home/jenkins" },
        { sourceVolume = "tmp", containerPath = "/tmp" },
      ]
    },
  ])
}

# For the role of the controller: what the plugin asks of ECS.
data "aws_iam_policy_document" "controller" {
  statement {
    actions   = ["ecs:ListClusters", "ecs:DescribeContainerInstances", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition", "ecs:ListTagsForResource"]
    resources = ["*"]
  }

  statement {
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.agent.arn_without_revision}:*"]
  }

  statement {
    actions   = ["ecs:StopTask", "ecs:DescribeTasks", "ecs:ListContainerInstances"]
    resources = ["*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.agents.arn]
    }
  }

  statement {
    actions   = ["ecs:TagResource"] # the label and the template's name
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
  }
}

output "cluster" {
  value = aws_ecs_cluster.agents.arn
}

output "task_definition" {
  value = aws_ecs_task_definition.agent.family
}

output "security_group" {
  value = aws_security_group.agents.id
}

output "subnets" {
  value = var.subnets
}

output "controller_policy" {
  value = data.aws_iam_policy_document.controller.json
}
