"""What lies on disk to columns: COCO files, pictures of instance numbers, which layout it is."""
