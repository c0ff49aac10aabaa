"""Jobs on Google Cloud Dataflow: what is asked of it, the checks before, and following the job."""
