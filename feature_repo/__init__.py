"""What a model may see: columns, time, transforms, views and services. The lowest layer."""
