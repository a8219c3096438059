"""What the owner of a repository writes: model.yaml and project.yaml."""
