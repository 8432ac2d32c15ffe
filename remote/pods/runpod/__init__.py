"""RunPod: pods rented over its REST API, with the few things only its GraphQL API has, or through its own library."""
