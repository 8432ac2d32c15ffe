"""The task families, one file each (or each closely related pair). A stage file lists those that it teaches."""
