"""From a bare image to a pod that can run the pipeline: preflight, environment, model, session manifest."""
